"""Pictures of one size in a temporary file: memory holds only those that are asked for.

So a job takes the same memory for a thousand scans as for a hundred thousand. The file has no name:
it is gone with the process, however that ends. It is read by pread(2) and not mapped, since mapped
pages would count as the job's own; what is read often stays in the system's page cache.
"""

import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import DiskFullError
from brain_tumor.images import Pixels

Rows = NDArray[np.integer] | NDArray[np.bool_] | Sequence[int]

_BLOCK = 256


class _UnnamedFile:
    """A temporary file, closed once nothing reads it any more."""

    def __init__(self) -> None:
        with tempfile.TemporaryFile() as file:
            self.number = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.number)


class StoredPixels:
    """(n, height, width) uint8, 0-255; looks like an array of which parts are read as needed."""

    def __init__(self, height: int, width: int) -> None:
        """Begin without a picture; `put` writes them."""
        self._size = height, width
        self._file = _UnnamedFile()
        self._places: NDArray[np.int64] | None = None
        """Where in the file each row lies; None: in their order."""
        self._count = 0

    @classmethod
    def of(cls, *parts: "Pixels | StoredPixels") -> "StoredPixels":
        """Store the pictures of arrays, and of others, one part after the other."""
        stored = cls(*parts[0].shape[1:])
        for part in parts:
            for start in range(0, len(part), _BLOCK):
                stored.append(part[start : start + _BLOCK])
        return stored

    def __len__(self) -> int:
        return self._count if self._places is None else len(self._places)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n, height, width)."""
        return len(self), *self._size

    @cached_property
    def _bytes(self) -> int:
        return self._size[0] * self._size[1]

    def put(self, row: int, picture: Pixels) -> None:
        """Write a row (height, width); those before it that were not written yet are black.

        Raises:
            DiskFullError: the folder of temporary files is full.
        """
        self._write(row, picture[np.newaxis])

    def append(self, pictures: Pixels) -> None:
        """Write (m, height, width) behind the last row; not for rows that were picked of others.

        Raises:
            DiskFullError: the folder of temporary files is full.
        """
        self._write(len(self), pictures)

    def rows(self, chosen: Rows) -> "StoredPixels":
        """Give these rows only, in this order; nothing is read or copied."""
        part = copy(self)
        part._places = self._in_file(chosen)
        return part

    def __getitem__(self, chosen: int | np.integer | slice | Rows) -> Pixels:
        """Read one row (height, width), or several (m, height, width), into memory."""
        if isinstance(chosen, int | np.integer):
            return self._read(self._in_file([int(chosen)])).reshape(self._size)
        return self._read(self._in_file(chosen))

    def blocks(self) -> Iterator[Pixels]:
        """Read all rows, some at a time, in their order."""
        for start in range(0, len(self), _BLOCK):
            yield self[start : start + _BLOCK]

    def _in_file(self, chosen: slice | Rows) -> NDArray[np.int64]:
        if isinstance(chosen, slice):
            numbers = np.arange(*chosen.indices(len(self)))
        else:
            numbers = np.asarray(chosen)
            numbers = np.flatnonzero(numbers) if numbers.dtype == bool else numbers.astype(np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"rows {numbers.min()} to {numbers.max()} of {len(self)}")
        return numbers if self._places is None else self._places[numbers]

    def _read(self, places: NDArray[np.int64]) -> Pixels:
        pictures = np.empty((len(places), *self._size), np.uint8)
        # Neighbours in the file are read at once.
        breaks = np.flatnonzero(np.diff(places) != 1) + 1
        for run in np.split(np.arange(len(places)), breaks):
            if len(run) and self._bytes:
                self._fill(pictures[run[0] : run[-1] + 1], int(places[run[0]]) * self._bytes)
        return pictures

    def _fill(self, pictures: Pixels, offset: int) -> None:
        left = pictures.reshape(-1).data
        while left:
            count = os.preadv(self._file.number, [left], offset)
            if not count:
                raise OSError(errno.EIO, "the temporary file of the scans is shorter than written")
            left, offset = left[count:], offset + count

    def _write(self, row: int, pictures: Pixels) -> None:
        left = np.ascontiguousarray(pictures).reshape(-1).data
        offset = row * self._bytes
        try:
            while left:
                count = os.pwrite(self._file.number, left, offset)
                left, offset = left[count:], offset + count
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            raise self._full(row) from error
        self._count = max(self._count, row + len(pictures))

    def _full(self, row: int) -> DiskFullError:
        folder = tempfile.gettempdir()
        return DiskFullError(
            f"The disk is full: {folder} holds {row} scans of {self._size[0]} x {self._size[1]} "
            f"pixels, {self._bytes / 1000:.0f} kB each, and no more fit ("
            f"{shutil.disk_usage(folder).free / 2**20:.1f} MiB are free). Usual cause: the job's "
            "volume is too small (VolumeSizeInGB), or /tmp is a small tmpfs; TMPDIR names another "
            "folder."
        )
