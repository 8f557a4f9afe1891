"""The files of an /opt/ml: what is put there, and how it is packed to get in and out.

Files are named by their path below /opt/ml, such as `input/config/hyperparameters.json`.
"""

import io
import shutil
import tarfile
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

# Bytes, a file on this machine that is copied, or None for a folder.
Files = Mapping[str, bytes | Path | None]


def with_parents(files: Files) -> Files:
    """Add the folders in which files lie, each before what is in it."""
    folders = {
        str(parent): None
        for name in files
        for parent in reversed(PurePosixPath(name).parents)
        if str(parent) != "."
    }
    return {**folders, **files}


def to_tar(files: Files, prefix: str) -> IO[bytes]:
    """Pack files below a prefix into a tar that is read from its start.

    All belong to root, folders are 0755 and files 0644, as on the platform, whoever owns them here.
    """
    packed = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in with_parents(files).items():
            _add(tar, f"{prefix}/{name}", content)
    packed.seek(0)
    return packed


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path | None) -> None:
    member = tarfile.TarInfo(name)
    member.mtime = time.time()
    if content is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(member)
    elif isinstance(content, bytes):
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    else:
        with content.open("rb") as stream:
            member.size = content.stat().st_size
            member.mtime = content.stat().st_mtime
            tar.addfile(member, stream)


class Tree:
    """A file or folder that was read out of an /opt/ml, as a tar; empty if there was none.

    `members` are named relative to what was read: a file alone has the name `.`.
    """

    def __init__(self, packed: IO[bytes] | None = None) -> None:
        self._packed = packed
        self._tar = tarfile.open(fileobj=packed) if packed else None  # noqa: SIM115
        self.members: dict[str, tarfile.TarInfo] = {}
        for member in self._tar or ():
            self.members[str(PurePosixPath(*PurePosixPath(member.name).parts[1:]))] = member

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if self._tar and self._packed:
            self._tar.close()
            self._packed.close()

    def open(self, name: str) -> IO[bytes]:
        """Open a file of it; a hard link is the file it leads to."""
        stream = self._tar.extractfile(self.members[name]) if self._tar else None
        if stream is None:
            raise IsADirectoryError(name)
        return stream

    def files(self) -> list[str]:
        """Return the names of the files, without folders, links and special files."""
        return [name for name, m in self.members.items() if m.isreg() or m.islnk()]


def write(files: Files, folder: Path) -> None:
    """Write files below a folder of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in with_parents(files).items():
        target = folder / name
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
        elif isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, as an object in S3; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
