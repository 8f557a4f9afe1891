"""An archive of scans: a zip, a folder, or a folder of zips, as a table of labelled files.

Nothing is unpacked: members are read straight from the zip, so there is nothing to clean up and
no member can be written outside a folder. A zip whose names try to is refused all the same.
"""

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Literal, Self

from brain_tumor.errors import DataError
from brain_tumor.images import SUFFIXES

Side = Literal["train", "val", "test"]

_SIDES: dict[str, Side] = {
    "training": "train",
    "train": "train",
    "validation": "val",
    "val": "val",
    "testing": "test",
    "test": "test",
}
_MAX_FILE_BYTES = 200_000_000
_SYMLINK = 0o120000


@dataclass(frozen=True)
class Scan:
    """One image file of an archive."""

    file: str
    """Path inside the archive, with forward slashes."""
    label: str
    side: Side | None
    """The side that the archive itself puts it on, if it does."""


@dataclass(frozen=True)
class _Member:
    parts: tuple[str, ...]
    is_folder: bool
    read: Callable[[], bytes]


class Archive:
    """A zip or folder of class folders, open for reading; use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        """Open `path` and list its scans.

        Raises:
            DataError: not there, not readable, unsafe names, or no scans in class folders.
        """
        self.path = path
        self.scans: list[Scan] = []
        self.outside_class_folders: list[str] = []
        self.empty_class_folders: list[str] = []
        self._read: dict[str, Callable[[], bytes]] = {}
        self._stack = ExitStack()
        try:
            for prefix, members in _sources(path, self._stack):
                self._add(prefix, members)
            self._require_scans()
        except OSError as error:
            self._stack.close()
            raise DataError(f"{path} cannot be read: {error}.") from error
        except BaseException:
            self._stack.close()
            raise
        self.scans.sort(key=lambda scan: scan.file)

    def read(self, scan: Scan) -> bytes:
        """Return the bytes of one scan; safe to call from several threads.

        Raises:
            DataError: the file cannot be read (damaged zip, encrypted, too large).
        """
        try:
            return self._read[scan.file]()
        except DataError:
            raise
        # Each compression method fails in its own way (zlib.error, LZMAError, EOFError, ...).
        except Exception as error:
            raise DataError(f"{scan.file} cannot be read from {self.path}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _add(self, prefix: str, members: list[_Member]) -> None:
        enclosing, has_sides = _enclosing_depth(m.parts for m in members if not m.is_folder)
        named_side = _SIDES.get(prefix.rstrip("/").lower())
        filled: set[tuple[str, ...]] = set()
        for member in (m for m in members if not m.is_folder):
            file = _printable(prefix + "/".join(member.parts))
            on_side = _side(member, enclosing) is not None
            depth = enclosing + on_side
            if len(member.parts) < depth + 2 or has_sides > on_side:
                self.outside_class_folders.append(file)
                continue
            filled.add(member.parts[: depth + 1])
            side = _side(member, enclosing) or named_side
            self.scans.append(Scan(file, _printable(member.parts[depth]), side))
            self._read[file] = member.read
        for member in (m for m in members if m.is_folder):
            on_side = _side(member, enclosing) is not None
            depth = enclosing + on_side
            is_class = len(member.parts) == depth + 1 and has_sides <= on_side
            if is_class and member.parts not in filled:
                self.empty_class_folders.append(prefix + "/".join(member.parts))

    def _require_scans(self) -> None:
        if not self.scans:
            raise DataError(
                f"{self.path} holds no scans: {len(self.outside_class_folders)} image files were "
                "found, none of them in a class folder. Wanted folders named after the classes "
                f"(glioma/, notumor/, ...) with files ending in {', '.join(sorted(SUFFIXES))}. "
                "Usual cause: the wrong folder or S3 prefix."
            )


def _printable(name: str) -> str:
    """Write out bytes of a file name that are not UTF-8, which no report could hold."""
    return name.encode("utf-8", "backslashreplace").decode()


def _side(member: _Member, enclosing: int) -> Side | None:
    return _SIDES.get(member.parts[enclosing].lower()) if len(member.parts) > enclosing else None


def _enclosing_depth(files: Iterable[tuple[str, ...]]) -> tuple[int, bool]:
    """Count the folders that enclose the class folders, and tell whether sides stand below them.

    Where there is a side folder such as Training, the folders above it are counted. Elsewhere
    those that enclose all files are; files too shallow to lie in a class folder do not matter.
    """
    paths = list(files)
    sides = [i for parts in paths for i, name in enumerate(parts[:-2]) if name.lower() in _SIDES]
    if sides:
        return min(sides), True
    depth = 0
    while inside := [parts for parts in paths if len(parts) >= depth + 2]:
        if len({parts[depth] for parts in inside}) > 1 or min(map(len, inside)) < depth + 3:
            break
        depth += 1
    return depth, False


def _sources(path: Path, stack: ExitStack) -> Iterator[tuple[str, list[_Member]]]:
    """Yield each zip, and the loose files beside them, with what its file names begin with."""
    if path.is_file():
        yield "", list(_zip_members(path, stack))
        return
    if not path.is_dir():
        raise DataError(
            f"{path} does not exist. Wanted a zip or a folder of class folders. Usual cause: a "
            "mistyped path, or a channel that was not mounted."
        )
    zips = sorted(entry for entry in path.iterdir() if _is_zip(entry))
    loose = list(_folder_members(path))
    has_loose_files = any(not member.is_folder for member in loose)
    for file in zips:
        alone = len(zips) == 1 and not has_loose_files
        yield "" if alone else f"{file.stem}/", list(_zip_members(file, stack))
    if has_loose_files or not zips:
        yield "", loose


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and not path.name.startswith(".") and path.is_file()


def _is_wanted(parts: tuple[str, ...], is_folder: bool) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and (is_folder or PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES)


def _folder_members(path: Path) -> Iterator[_Member]:
    """List files and folders below `path`; links to folders are followed, but not in circles."""
    seen = {path.resolve()}
    for folder, folders, files in os.walk(path, followlinks=True):
        for name in sorted(folders + files):
            entry = Path(folder, name)
            parts = entry.relative_to(path).parts
            if _is_wanted(parts, name in folders):
                yield _Member(parts, name in folders, entry.read_bytes)
        folders[:] = sorted(n for n in folders if (Path(folder, n).resolve()) not in seen)
        seen.update(Path(folder, name).resolve() for name in folders)


def _zip_members(path: Path, stack: ExitStack) -> Iterator[_Member]:
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
        parts = PurePosixPath(info.filename.replace("\\", "/")).parts
        if parts and _is_wanted(parts, info.is_dir()):
            yield _Member(parts, info.is_dir(), partial(_read_zipped, archive, info))


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
