"""Scans read and decoded in one pass: an archive, or a stream of records, becomes a table."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from brain_tumor import images
from brain_tumor.data.ahead import map_ahead
from brain_tumor.data.archive import Scan
from brain_tumor.data.duplicates import find_duplicates
from brain_tumor.data.neighbours import NO_PAIRS
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import CUES, Damaged, ScanTable
from brain_tumor.data.thumbnails import Thumbnails, draw_thumbnails
from brain_tumor.errors import DataError, ImageError

__all__ = [
    "Classes",
    "Damaged",
    "ScanTable",
    "classes_of",
    "decode_scans",
    "read_scans",
    "require_classes",
    "require_every_class",
]

# Files that may wait for a core: few enough to fit into memory, enough that no core waits.
_AHEAD = 8


class Source(Protocol):
    """Where scans come from: an `Archive`, or `Records`."""

    path: Path
    scans: list[Scan]
    """By file name. Records are known only once they were read."""
    outside_class_folders: list[str]
    empty_class_folders: list[str]

    @property
    def nothing(self) -> str:
        """The sentence for a source without scans."""

    def stream(self) -> Iterator[tuple[Scan, bytes | DataError]]:
        """Give every scan once."""


def read_scans(source: Source, size: int = 0) -> ScanTable:
    """Decode every scan once, and number the pictures and groups among them.

    Args:
        source: an open archive, or records.
        size: height and width of the pixels to keep; 0 keeps none. They are kept in a temporary
            file, which takes size * size bytes a scan.
    """
    return find_duplicates(decode_scans(source, size))


def decode_scans(source: Source, size: int = 0) -> ScanTable:
    """Decode every scan once, on all cores; damaged ones are listed, not raised.

    Pictures and groups are not searched for: every row has its own number.
    """
    # Where all names are known each scan has its row, in whatever order they are stored.
    known = {scan.file: row for row, scan in enumerate(source.scans)}
    rows = _Rows(size)
    damaged = [Damaged(file, "not inside a class folder") for file in source.outside_class_folders]
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        decoded = map_ahead(pool, partial(_decode, size=size), source.stream(), _AHEAD * cores)
        for number, result in enumerate(decoded):
            if isinstance(result, Damaged):
                damaged.append(result)
            else:
                rows.put(known.get(result.scan.file, number), result)
    return rows.table(sorted(damaged, key=lambda entry: entry.file))


@dataclass(frozen=True)
class _Decoded:
    scan: Scan
    pixels: images.Pixels
    """(size, size)."""
    thumbnails: tuple[images.Pixels, images.Pixels]
    digest: str
    cues: NDArray[np.void]
    """One of CUES, of shape ()."""


def _decode(item: tuple[Scan, bytes | DataError], size: int) -> _Decoded | Damaged:
    scan, data = item
    if isinstance(data, DataError):
        return Damaged(scan.file, str(data))
    try:
        pixels = images.decode(data)
    except ImageError as error:
        return Damaged(scan.file, str(error))
    return _Decoded(
        scan,
        images.resize(pixels, size) if size else np.empty((0, 0), np.uint8),
        draw_thumbnails(pixels),
        hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
        _cues(data, pixels),
    )


class _Rows:
    """The rows of a table as they come in."""

    def __init__(self, size: int) -> None:
        self._pixels = StoredPixels(size, size)
        self._thumbnails = Thumbnails.empty()
        self._rest: dict[int, tuple[Scan, str, NDArray[np.void]]] = {}

    def put(self, row: int, decoded: _Decoded) -> None:
        stores = self._pixels, self._thumbnails.whole, self._thumbnails.head
        for store, picture in zip(stores, (decoded.pixels, *decoded.thumbnails), strict=True):
            store.put(row, picture)
        self._rest[row] = decoded.scan, decoded.digest, decoded.cues

    def table(self, damaged: list[Damaged]) -> ScanTable:
        kept = sorted(self._rest, key=lambda row: self._rest[row][0].file)
        rest = [self._rest[row] for row in kept]
        return ScanTable(
            scans=[scan for scan, _, _ in rest],
            digests=[digest for _, digest, _ in rest],
            pixels=self._pixels.rows(kept),
            damaged=damaged,
            pictures=np.arange(len(kept), dtype=np.int32),
            groups=np.arange(len(kept), dtype=np.int32),
            thumbnails=self._thumbnails.rows(kept),
            cues=np.array([cues for _, _, cues in rest], CUES),
            pairs=NO_PAIRS,
        )


def _cues(data: bytes, pixels: images.Pixels) -> NDArray[np.void]:
    kind, mode = images.format_and_mode(data)
    height, width = pixels.shape
    ring = max(1, min(height, width) // 28)  # 8 pixels of 224
    border = np.ones(pixels.shape, bool)
    border[ring:-ring, ring:-ring] = False
    ring_grey, bright = pixels[border].mean(), np.percentile(pixels, 99)
    return np.array((kind, mode, width, height, len(data), ring_grey, bright), CUES)


@dataclass(frozen=True)
class Classes:
    """Which classes a source has, or a host's share of it; nothing of a source that is not there.

    What is wrong with a share need not be wrong with the whole, so sentences are kept, not raised.
    """

    faults: dict[str, str] = field(default_factory=dict)
    """Class -> why no scan of it can be read; empty where one can. In the order of the scans."""
    empty: str = ""
    """The sentence about empty class folders, if there are any."""
    nothing: str = ""
    """The sentence for the case that no share has a scan."""


def classes_of(source: Source, table: ScanTable) -> Classes:
    """Tell which classes a source has; `table` is what was decoded of it."""
    readable = set(table.labels)
    reasons = {entry.file: entry.reason for entry in table.damaged}
    faults: dict[str, str] = {}
    for scan in source.scans:
        if scan.label in readable:
            faults[scan.label] = ""
        elif scan.label not in faults:
            faults[scan.label] = (
                f"{source.path} has no readable scan of class {scan.label!r}. The first of them, "
                f"{scan.file}: {reasons[scan.file]}"
            )
    empty = (
        f"{source.path} has an empty class folder: {', '.join(source.empty_class_folders)}. "
        "Every class folder must hold scans. Usual cause: an upload that skipped files, or a "
        f"folder that is no class; scans end in {', '.join(sorted(images.SUFFIXES))}."
    )
    return Classes(faults, empty if source.empty_class_folders else "", source.nothing)


def require_classes(shares: Sequence[Classes]) -> None:
    """Make sure that the shares of a source together have scans, and readable ones of each class.

    Raises:
        DataError: no scans at all, an empty class folder, or a class whose scans are all damaged.
    """
    found = [entry for share in shares for entry in share.faults.items()]
    readable = {label for label, fault in found if not fault}
    wrong = [fault for label, fault in found if label not in readable]
    wrong += [share.empty for share in shares if share.empty]
    if not found:
        wrong = [share.nothing for share in shares if share.nothing]
    if wrong:
        raise DataError(wrong[0])


def require_every_class(source: Source, table: ScanTable) -> None:
    """Make sure that a source has scans, and readable ones of each class.

    Raises:
        DataError: no scans at all, an empty class folder, or a class whose scans are all damaged.
    """
    require_classes([classes_of(source, table)])
