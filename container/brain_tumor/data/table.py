"""The table of scans that duplicates, splits, reports and training work on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.archive import Scan
from brain_tumor.data.neighbours import NO_PAIRS, Pairs
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.thumbnails import Thumbnails


@dataclass(frozen=True)
class Damaged:
    """A file that is left out, and why."""

    file: str
    reason: str


CUES = np.dtype(
    [
        ("format", "S16"),
        ("mode", "S16"),
        ("width", np.int32),
        ("height", np.int32),
        ("bytes", np.int64),
        ("border", np.float64),
        ("bright", np.float64),
    ]
)
"""What a file tells beside the brain in it; a class must not be predictable from it.

`format` and `mode` as Pillow names them (JPEG, PNG, ...; L is grey, RGB is colour); pixels and
bytes; the mean grey value of the outer ring, a 28th of the width deep, and the 99th percentile of
the grey values, both 0-255.
"""


@dataclass(frozen=True)
class ScanTable:
    """The readable scans of an archive, one row each, in the order of their file names."""

    scans: list[Scan]
    digests: list[str]
    """SHA-256 of each scan's decoded pixels and their shape."""
    pixels: StoredPixels
    """(n, size, size), 0-255; size is 0 when no pixels were asked for."""
    damaged: list[Damaged]
    pictures: NDArray[np.int32]
    """(n,) number of the picture that a row shows; copies of one picture have one number."""
    groups: NDArray[np.int32]
    """(n,) number of the near-duplicate group of a row; a picture lies in one group as a whole."""
    thumbnails: Thumbnails
    cues: NDArray[np.void]
    """(n,) of CUES."""
    pairs: Pairs
    """Rows that resemble each other; of files equal to the bit only the first is in a pair. None
    in a table of picked rows."""

    def __len__(self) -> int:
        return len(self.scans)

    @cached_property
    def labels(self) -> list[str]:
        """The class name of each row."""
        return [scan.label for scan in self.scans]

    @cached_property
    def files(self) -> list[str]:
        """The file name of each row."""
        return [scan.file for scan in self.scans]

    def rows(self, indices: Sequence[int]) -> "ScanTable":
        """Return a table of these rows only."""
        places = np.asarray(indices, np.intp)
        return ScanTable(
            scans=[self.scans[i] for i in indices],
            digests=[self.digests[i] for i in indices],
            pixels=self.pixels.rows(places),
            damaged=self.damaged,
            pictures=self.pictures[places],
            groups=self.groups[places],
            thumbnails=self.thumbnails.rows(places),
            cues=self.cues[places],
            pairs=NO_PAIRS,
        )


def label_indices(table: ScanTable, class_names: Sequence[str]) -> NDArray[np.int32]:
    """Return the index into `class_names` of every row's label."""
    index = {name: number for number, name in enumerate(class_names)}
    return np.array([index[label] for label in table.labels], np.int32)


def join(tables: Sequence[ScanTable]) -> ScanTable:
    """Put tables one below the other, without pixels and with nothing numbered yet."""
    count = sum(map(len, tables))
    return ScanTable(
        scans=[scan for table in tables for scan in table.scans],
        digests=[digest for table in tables for digest in table.digests],
        pixels=StoredPixels.of(np.empty((count, 0, 0), np.uint8)),
        damaged=[entry for table in tables for entry in table.damaged],
        pictures=np.arange(count, dtype=np.int32),
        groups=np.arange(count, dtype=np.int32),
        thumbnails=Thumbnails.joined([table.thumbnails for table in tables]),
        cues=np.concatenate([table.cues for table in tables]),
        pairs=NO_PAIRS,
    )
