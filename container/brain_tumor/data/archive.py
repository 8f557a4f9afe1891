"""An archive of scans: a zip, a folder, or a folder of zips, as a table of labelled files.

What lies where is `data.members`' business; here files become scans: which folder is a class, which
is a side, which only encloses the others.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import TracebackType
from typing import Literal, Self

from brain_tumor.data.ahead import map_ahead
from brain_tumor.data.members import Member, sources
from brain_tumor.errors import DataError
from brain_tumor.images import SUFFIXES

Side = Literal["train", "val", "test"]
Paths = Collection[tuple[str, ...]]
Folders = Mapping[str, Paths]
"""The folders that hold files, by the name of the zip they are in; no name: outside of zips."""

_SIDES: dict[str, Side] = {
    "training": "train",
    "train": "train",
    "validation": "val",
    "val": "val",
    "testing": "test",
    "test": "test",
}
# A streamed mount answers an open in tens of milliseconds, however small the file is, and many
# at the same time.
_READERS = 32


@dataclass(frozen=True, slots=True)
class Scan:
    """One image file of an archive."""

    file: str
    """Path inside the archive, with forward slashes."""
    label: str
    side: Side | None
    """The side that the archive itself puts it on, if it does."""


class Archive:
    """A zip or folder of class folders, open for reading; use it in a `with` block."""

    def __init__(self, path: Path, everywhere: Callable[[Folders], Folders] | None = None) -> None:
        """Open `path` and list its scans.

        Args:
            path: a zip, or a folder of class folders or zips.
            everywhere: where the archive is spread over several hosts: called once with the
                folders here, it returns those of all, which say what a class is, and how files are
                named. An archive with nothing in it is then no error.

        Raises:
            DataError: not there, not readable, unsafe names, or no scans in class folders.
        """
        self.path = path
        self.scans: list[Scan] = []
        self.outside_class_folders: list[str] = []
        self.empty_class_folders: list[str] = []
        self._members: dict[str, Member] = {}
        self._stack = ExitStack()
        try:
            listed = list(sources(path, self._stack))
            own = {name: _folders(members) for name, members in listed}
            self._add_all(listed, everywhere(own) if everywhere else own)
            if not (self.scans or everywhere):
                raise DataError(self.nothing)
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
            return self._members[scan.file].read()
        except DataError:
            raise
        # Each compression method fails in its own way (zlib.error, LZMAError, EOFError, ...).
        except Exception as error:
            raise DataError(f"{scan.file} cannot be read from {self.path}: {error}") from error

    def stream(self) -> Iterator[tuple[Scan, bytes | DataError]]:
        """Read every scan once, in the order in which it is stored; an error takes its place.

        A zip is read from its front to its end, by one thread, since a streamed mount is slow to
        go back. Files of their own are read by many threads at once.
        """
        places = {scan: self._members[scan.file].place for scan in self.scans}
        zipped = sorted((place, scan.file, scan) for scan, place in places.items() if place)
        for _, _, scan in zipped:
            yield scan, self._attempt(scan)
        loose = [scan for scan, place in places.items() if not place]
        with ThreadPoolExecutor(_READERS) as readers:
            yield from zip(
                loose, map_ahead(readers, self._attempt, loose, 2 * _READERS), strict=True
            )

    def _attempt(self, scan: Scan) -> bytes | DataError:
        try:
            return self.read(scan)
        except DataError as error:
            return error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def nothing(self) -> str:
        """The sentence for an archive without scans."""
        return (
            f"{self.path} holds no scans: {len(self.outside_class_folders)} image files were "
            "found, none of them in a class folder. Wanted folders named after the classes "
            f"(glioma/, notumor/, ...) with files ending in {', '.join(sorted(SUFFIXES))}. "
            "Usual cause: the wrong folder or S3 prefix."
        )

    def _add_all(self, listed: list[tuple[str, list[Member]]], folders: Folders) -> None:
        zips, has_loose_files = folders.keys() - {""}, bool(folders.get(""))
        for name, members in listed:
            if name and (len(zips) > 1 or has_loose_files):
                self._add(f"{PurePath(name).stem}/", members, folders[name])
            elif name or has_loose_files or not zips:
                self._add("", members, folders[name])

    def _add(self, prefix: str, members: list[Member], folders: Paths) -> None:
        enclosing, has_sides = _enclosing_depth(folders)
        named_side = _SIDES.get(prefix.rstrip("/").lower())
        for member in (m for m in members if not m.is_folder):
            file = _printable(prefix + "/".join(member.parts))
            on_side = _side(member, enclosing) is not None
            depth = enclosing + on_side
            if len(member.parts) < depth + 2 or has_sides > on_side:
                self.outside_class_folders.append(file)
                continue
            side = _side(member, enclosing) or named_side
            if file not in self._members:
                # One string a class, not one a scan.
                label = sys.intern(_printable(member.parts[depth]))
                self.scans.append(Scan(file, label, side))
            # Of two members of one name the later counts, as where a zip is unpacked.
            self._members[file] = member
        for member in (m for m in members if m.is_folder):
            on_side = _side(member, enclosing) is not None
            depth = enclosing + on_side
            is_class = len(member.parts) == depth + 1 and has_sides <= on_side
            if is_class and not any(folder[: depth + 1] == member.parts for folder in folders):
                self.empty_class_folders.append(prefix + "/".join(member.parts))


def _printable(name: str) -> str:
    """Write out bytes of a file name that are not UTF-8, which no report could hold."""
    return name.encode("utf-8", "backslashreplace").decode()


def _side(member: Member, enclosing: int) -> Side | None:
    return _SIDES.get(member.parts[enclosing].lower()) if len(member.parts) > enclosing else None


def _folders(members: list[Member]) -> set[tuple[str, ...]]:
    return {member.parts[:-1] for member in members if not member.is_folder}


def _enclosing_depth(folders: Paths) -> tuple[int, bool]:
    """Count the folders that enclose the class folders, and tell whether sides stand below them.

    Where there is a side folder such as Training, the folders above it are counted. Elsewhere
    those that enclose all files are; files too shallow to lie in a class folder do not matter.
    """
    sides = [i for parts in folders for i, name in enumerate(parts[:-1]) if name.lower() in _SIDES]
    if sides:
        return min(sides), True
    depth = 0
    while inside := [parts for parts in folders if len(parts) >= depth + 1]:
        if len({parts[depth] for parts in inside}) > 1 or min(map(len, inside)) < depth + 2:
            break
        depth += 1
    return depth, False
