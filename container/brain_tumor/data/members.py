"""Where the bytes of an archive lie: the members of zips, and the files of a folder.

Nothing is unpacked: members are read straight from the zip, so there is nothing to clean up and
no member can be written outside a folder. A zip whose names try to is refused all the same. Each
folder is listed once, and what can hold no scan is not entered: on a streamed mount every listing
is a request.
"""

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brain_tumor.errors import DataError
from brain_tumor.images import SUFFIXES

_MAX_FILE_BYTES = 200_000_000
_SYMLINK = 0o120000
_ZIP = ".zip"
# macOS puts the one into zips, Linux the other onto file systems.
_OF_SYSTEMS = ("__MACOSX", "lost+found")


@dataclass(frozen=True, slots=True)
class Member:
    """A file or folder, and how its bytes are read."""

    parts: tuple[str, ...]
    is_folder: bool
    read: Callable[[], bytes]
    place: tuple[str, int] | None = None
    """Its zip and where in it the member begins; None: a file of its own."""


def sources(path: Path, stack: ExitStack) -> Iterator[tuple[str, list[Member]]]:
    """Yield each zip with its file name, and the loose files beside them with no name.

    Args:
        path: a zip, or a folder of class folders or zips.
        stack: closes the zips that are opened.

    Raises:
        DataError: not there, or a zip that is damaged or unsafe.
    """
    if path.is_file():
        yield path.name, list(_zip_members(path, stack))
        return
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist. Wanted a zip or a folder of class folders. Usual cause: a "
            "mistyped path, or a channel that was not mounted."
        )
    inside = list(_folder_members(path))
    for member in filter(_is_zip, inside):
        file = path / member.parts[0]
        yield file.name, list(_zip_members(file, stack))
    yield "", [member for member in inside if not _is_zip(member)]


def _is_zip(member: Member) -> bool:
    return not member.is_folder and _suffix(member.parts) == _ZIP


def _suffix(parts: tuple[str, ...]) -> str:
    # Not by pathlib, which would keep each name in memory (`sys.intern`).
    _, dot, ending = parts[-1].rpartition(".")
    return (dot + ending).lower()


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _OF_SYSTEMS


def _folder_members(path: Path) -> Iterator[Member]:
    """List folders and images below `path`, and the zips in it."""
    for parts, place, is_folder in walk(path):
        wanted = SUFFIXES if len(parts) > 1 else (*SUFFIXES, _ZIP)
        if is_folder or _suffix(parts) in wanted:
            yield Member(parts, is_folder, place.read_bytes)


def walk(path: Path) -> Iterator[tuple[tuple[str, ...], Path, bool]]:
    """Give folders and files below `path` that are not hidden; each folder is listed once.

    Links to folders are followed, but not in circles.

    Returns:
        The names that lead there, the path, and whether it is a folder; in the order of names.
    """
    seen = {path.resolve()}
    waiting: list[tuple[tuple[str, ...], Path]] = [((), path.resolve())]
    while waiting:
        above, folder = waiting.pop()
        with os.scandir(folder) as listing:
            entries = sorted((e for e in listing if not _is_hidden(e.name)), key=lambda e: e.name)
        inside = []
        for entry in entries:
            parts, place, is_folder = (*above, entry.name), folder / entry.name, entry.is_dir()
            yield parts, place, is_folder
            if is_folder:
                # Only a link can lead in a circle; resolving the others would cost requests.
                real = place.resolve() if entry.is_symlink() else place
                if real not in seen:
                    seen.add(real)
                    inside.append((parts, real))
        waiting.extend(reversed(inside))


def _zip_members(path: Path, stack: ExitStack) -> Iterator[Member]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{path.name} is not a readable zip: {error}. Usual cause: an interrupted download or "
            "upload; make and upload it again."
        ) from error
    for info in archive.infolist():
        _refuse_unsafe(path, info)
        # Some Windows tools write backslashes, against the format.
        names = info.filename.replace("\\", "/").split("/")
        parts = tuple(name for name in names if name not in ("", "."))
        if not parts or any(map(_is_hidden, parts)):
            continue
        if info.is_dir() or _suffix(parts) in SUFFIXES:
            place = (path.name, info.header_offset)
            yield Member(parts, info.is_dir(), partial(_read_zipped, archive, info), place)


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _MAX_FILE_BYTES:
        raise DataError(
            f"{info.filename} unpacks to {info.file_size} bytes; at most {_MAX_FILE_BYTES} are "
            "read. Usual cause: no scan, or a zip made to fill the memory."
        )
    return archive.read(info)


def _refuse_unsafe(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.orig_filename.replace("\\", "/")
    unsafe = name.startswith("/") or ".." in name.split("/") or name[1:2] == ":"
    if unsafe or info.external_attr >> 16 & 0o170000 == _SYMLINK:
        raise DataError(
            f"{path.name} is refused: its member {info.orig_filename!r} points outside the folder "
            "it would be unpacked to. Usual cause: a zip made with absolute paths or links, or "
            "made to attack; make it again with relative paths."
        )
