"""Scans read and decoded in one pass: an archive becomes a table."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from brain_tumor import images
from brain_tumor.data.archive import Archive
from brain_tumor.data.duplicates import find_duplicates
from brain_tumor.data.neighbours import NO_PAIRS
from brain_tumor.data.table import Cues, Damaged, ScanTable
from brain_tumor.data.thumbnails import Thumbnails, draw_thumbnails
from brain_tumor.errors import DataError, ImageError

__all__ = ["Damaged", "ScanTable", "decode_scans", "read_scans", "require_every_class"]


def read_scans(archive: Archive, size: int = 0) -> ScanTable:
    """Decode every scan once, and number the pictures and groups among them.

    Args:
        archive: an open archive.
        size: height and width of the pixels to keep; 0 keeps none. Memory grows by size * size
            bytes a scan.
    """
    return find_duplicates(decode_scans(archive, size))


def decode_scans(archive: Archive, size: int = 0) -> ScanTable:
    """Decode every scan once, on all cores; damaged ones are listed, not raised.

    Pictures and groups are not searched for: every row has its own number.
    """
    count = len(archive.scans)
    pixels = np.empty((count, size, size), np.uint8)
    thumbnails = Thumbnails.empty(count)
    damaged = [Damaged(file, "not inside a class folder") for file in archive.outside_class_folders]
    kept: list[int] = []
    digests: list[str] = []
    cues: list[Cues] = []

    def work(row: int) -> tuple[str, Cues] | Damaged:
        scan = archive.scans[row]
        try:
            data = archive.read(scan)
            decoded = images.decode(data)
        except (ImageError, DataError) as error:
            return Damaged(scan.file, str(error))
        if size:
            pixels[row] = images.resize(decoded, size)
        thumbnails.whole[row], thumbnails.head[row] = draw_thumbnails(decoded)
        digest = hashlib.sha256(repr(decoded.shape).encode() + decoded.tobytes()).hexdigest()
        return digest, _cues(data, decoded)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, result in enumerate(pool.map(work, range(count))):
            if isinstance(result, Damaged):
                damaged.append(result)
            else:
                kept.append(row)
                digests.append(result[0])
                cues.append(result[1])
    whole = len(kept) == count
    return ScanTable(
        scans=[archive.scans[row] for row in kept],
        digests=digests,
        pixels=pixels if whole else pixels[kept],
        damaged=damaged,
        pictures=np.arange(len(kept), dtype=np.int32),
        groups=np.arange(len(kept), dtype=np.int32),
        thumbnails=thumbnails if whole else thumbnails.rows(kept),
        cues=cues,
        pairs=NO_PAIRS,
    )


def _cues(data: bytes, pixels: images.Pixels) -> Cues:
    kind, mode = images.format_and_mode(data)
    height, width = pixels.shape
    ring = max(1, min(height, width) // 28)  # 8 pixels of 224
    border = np.ones(pixels.shape, bool)
    border[ring:-ring, ring:-ring] = False
    return Cues(
        format=kind,
        mode=mode,
        width=width,
        height=height,
        bytes=len(data),
        border=float(pixels[border].mean()),
        bright=float(np.percentile(pixels, 99)),
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
