"""The files of ~/.aws, as `aws configure` writes them.

Not by `aws configure set`: a secret among a command's arguments can be read by everyone on the
machine while it runs.
"""

import configparser
import os
from pathlib import Path


def _path(variable: str, name: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / ".aws" / name).expanduser()


def path() -> Path:
    """Give the path of the credentials file."""
    return _path("AWS_SHARED_CREDENTIALS_FILE", "credentials")


def key_id(profile: str) -> str | None:
    """Give the id of a profile's key: empty where it names none, None without the profile."""
    files = _read(path())
    if not files.has_section(profile):
        return None
    return files.get(profile, "aws_access_key_id", fallback="")


def write(profile: str, key_id: str, secret: str, region: str) -> Path:
    """Append a profile to both files, readable by their owner alone; give the credentials' path."""
    _append(
        path(), f"[{profile}]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"
    )
    config = _path("AWS_CONFIG_FILE", "config")
    section = profile if profile == "default" else f"profile {profile}"
    if not _read(config).has_section(section):
        _append(config, f"[{section}]\nregion = {region}\n")
    return path()


def _read(file: Path) -> configparser.RawConfigParser:
    read = configparser.RawConfigParser()
    read.read(file)
    return read


def _append(file: Path, text: str) -> None:
    """Append, so that what people wrote there, comments too, stays as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    # The mode is that of the first moment: nobody can read in between.
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a") as end:
        os.fchmod(descriptor, 0o600)
        end.write(f"\n{text}" if file.stat().st_size else text)
