"""Unpacking model.tar.gz as the platform does, and refusing what it refuses."""

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_test.emulator.errors import EmulatorError


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz, whole or not at all; every user can read it, as on the platform.

    Raises:
        EmulatorError: It is no such archive, or holds a link, a device, or a name that leads out.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar, _removed_after_an_error(folder):
            tar.extractall(folder, filter=_checked)  # noqa: S202 - that is what the filter is for
    except FileNotFoundError as error:
        raise EmulatorError(f"There is no model archive {archive}.") from error
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise EmulatorError(
            f"{archive} cannot be unpacked: {error}. SageMaker wants a .tar.gz whose files lie at "
            "its top, made with: tar -czf model.tar.gz -C FOLDER ."
        ) from error


@contextmanager
def _removed_after_an_error(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder)
        raise


def _checked(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    if not (member.isreg() or member.isdir()):
        raise EmulatorError(
            f"The model archive holds {member.name}, which is a link or a special file: SageMaker "
            "refuses links in model archives. Put the file itself there (tar -h follows links)."
        )
    safe = tarfile.data_filter(member, folder)
    runs = member.isdir() or member.mode & 0o100
    return safe.replace(mode=0o755 if runs else 0o644, deep=False)
