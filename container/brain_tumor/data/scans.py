"""Scans read and decoded in one pass: the table that duplicates, splits and training work on."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor import images
from brain_tumor.data.archive import Archive, Scan
from brain_tumor.errors import DataError, ImageError


@dataclass(frozen=True)
class Damaged:
    """A file that is left out, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class ScanTable:
    """The readable scans of an archive, one row each, in the order of their file names."""

    scans: list[Scan]
    digests: list[str]
    """SHA-256 of each scan's decoded pixels and their shape."""
    pixels: NDArray[np.uint8]
    """(n, size, size), 0-255; size is 0 when no pixels were asked for."""
    damaged: list[Damaged]
    pictures: NDArray[np.int32]
    """(n,) number of the picture that a row shows; copies of one picture have one number."""
    groups: NDArray[np.int32]
    """(n,) number of the near-duplicate group of a row; a picture lies in one group as a whole."""

    def __len__(self) -> int:
        return len(self.scans)

    @property
    def labels(self) -> list[str]:
        """The class name of each row."""
        return [scan.label for scan in self.scans]

    @property
    def files(self) -> list[str]:
        """The file name of each row."""
        return [scan.file for scan in self.scans]

    def rows(self, indices: Sequence[int]) -> "ScanTable":
        """Return a table of these rows only."""
        return ScanTable(
            scans=[self.scans[i] for i in indices],
            digests=[self.digests[i] for i in indices],
            pixels=self.pixels[list(indices)],
            damaged=self.damaged,
            pictures=self.pictures[list(indices)],
            groups=self.groups[list(indices)],
        )


def read_scans(archive: Archive, size: int = 0) -> ScanTable:
    """Decode every scan once, on all cores; damaged ones are listed, not raised.

    Args:
        archive: an open archive.
        size: height and width of the pixels to keep; 0 keeps none. Memory grows by size * size
            bytes a scan.
    """
    pixels = np.empty((len(archive.scans), size, size), np.uint8)
    damaged = [Damaged(file, "not inside a class folder") for file in archive.outside_class_folders]
    kept: list[int] = []
    digests: list[str] = []

    def work(row: int) -> str | Damaged:
        scan = archive.scans[row]
        try:
            decoded = images.decode(archive.read(scan))
        except (ImageError, DataError) as error:
            return Damaged(scan.file, str(error))
        if size:
            pixels[row] = images.resize(decoded, size)
        return hashlib.sha256(repr(decoded.shape).encode() + decoded.tobytes()).hexdigest()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, result in enumerate(pool.map(work, range(len(archive.scans)))):
            if isinstance(result, Damaged):
                damaged.append(result)
            else:
                kept.append(row)
                digests.append(result)
    pictures = np.unique(digests, return_inverse=True)[1].astype(np.int32)
    whole = len(kept) == len(archive.scans)
    return ScanTable(
        scans=[archive.scans[row] for row in kept],
        digests=digests,
        pixels=pixels if whole else pixels[kept],
        damaged=damaged,
        pictures=pictures,
        groups=pictures,
    )


def require_every_class(archive: Archive, table: ScanTable) -> None:
    """Make sure that no class of an archive is without a readable scan.

    Raises:
        DataError: an empty class folder, or a class whose scans are all damaged.
    """
    readable = set(table.labels)
    reasons = {entry.file: entry.reason for entry in table.damaged}
    for scan in archive.scans:
        if scan.label not in readable:
            raise DataError(
                f"{archive.path} has no readable scan of class {scan.label!r}. The first of them, "
                f"{scan.file}: {reasons[scan.file]}"
            )
    if archive.empty_class_folders:
        raise DataError(
            f"{archive.path} has an empty class folder: {', '.join(archive.empty_class_folders)}. "
            "Every class folder must hold scans. Usual cause: an upload that skipped files, or a "
            f"folder that is no class; scans end in {', '.join(sorted(images.SUFFIXES))}."
        )
