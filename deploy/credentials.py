"""The files of ~/.aws, as `aws configure` writes them.

Not by `aws configure set`: a secret among a command's arguments can be read by everyone on the
machine while it runs.
"""

import configparser
import os
from pathlib import Path


def _path(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / ".aws" / name).expanduser()


def has(profile: str) -> bool:
    """Whether the credentials file has a key for the profile."""
    return _holds(_path("AWS_SHARED_CREDENTIALS_FILE", "credentials"), profile)


def write(profile: str, key_id: str, secret: str, region: str) -> Path:
    """Append a profile to both files, readable by their owner alone; give the credentials' path."""
    path = _path("AWS_SHARED_CREDENTIALS_FILE", "credentials")
    _append(path, f"[{profile}]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n")
    config = _path("AWS_CONFIG_FILE", "config")
    section = profile if profile == "default" else f"profile {profile}"
    if not _holds(config, section):
        _append(config, f"[{section}]\nregion = {region}\n")
    return path


def _holds(path: Path, section: str) -> bool:
    files = configparser.RawConfigParser()
    files.read(path)
    return files.has_section(section)


def _append(path: Path, text: str) -> None:
    """Append, so that what people wrote there, comments too, stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mode is that of the first moment: nobody can read in between.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a") as file:
        os.fchmod(descriptor, 0o600)
        file.write(f"\n{text}" if path.stat().st_size else text)
