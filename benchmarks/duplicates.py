"""Time the search for copies on synthetic heads, and count what it finds of the planted ones.

    python benchmarks/duplicates.py [--counts 1000 2000 5000 10000 20000 50000]

A tenth of the scans are neighbours (the same head, its tissue changed a little), a fifth are copies
in a random pose, scaled, re-encoded as JPEG of quality 50-95 and changed in contrast. Prints a
Markdown table. Drawing the scans is not timed; decoding them is, on one thread.
"""

import argparse
import hashlib
import io
import resource
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_tumor import images
from brain_tumor.data.archive import Scan
from brain_tumor.data.duplicates import find_duplicates
from brain_tumor.data.neighbours import NO_PAIRS, turn
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import CUES, ScanTable
from brain_tumor.data.thumbnails import Thumbnails, draw_thumbnails

_SIZE = 112
_COPIES, _NEIGHBOURS = 0.2, 0.1


@dataclass(frozen=True)
class _Plan:
    """What each row shows: the head of row `head`, as its own, a neighbour or a copy."""

    head: NDArray[np.int64]
    is_copy: NDArray[np.bool_]
    is_neighbour: NDArray[np.bool_]


def main() -> None:
    """Print a row of figures for each count."""
    parser = argparse.ArgumentParser(description=__doc__)
    counts = [1000, 2000, 5000, 10_000, 20_000, 50_000]
    parser.add_argument("--counts", type=int, nargs="+", default=counts)
    print(
        "| scans | decode, ms a scan | search, s | search, ms a scan | peak memory, MiB "
        "| copies found | neighbours grouped | pictures that mix heads | groups that mix heads |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for count in parser.parse_args().counts:
        print(_row(count), flush=True)


def _row(count: int) -> str:
    plan = _draw_plan(count)
    table, decoding = _read(plan)
    started = time.perf_counter()
    found = find_duplicates(table)
    searching = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    copies = found.pictures[plan.is_copy] == found.pictures[plan.head[plan.is_copy]]
    neighbours = found.groups[plan.is_neighbour] == found.groups[plan.head[plan.is_neighbour]]
    return (
        f"| {count} | {1000 * decoding / count:.2f} | {searching:.1f} "
        f"| {1000 * searching / count:.2f} | {peak:.0f} | {copies.mean():.2%} "
        f"| {neighbours.mean():.2%} | {_mixed(found.pictures, plan.head)} "
        f"| {_mixed(found.groups, plan.head)} |"
    )


def _mixed(numbers: NDArray[np.int32], head: NDArray[np.int64]) -> int:
    pairs = np.unique(np.stack([numbers, head]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def _draw_plan(count: int) -> _Plan:
    random = np.random.default_rng(count)
    kind = random.random(count)
    derived = kind < _COPIES + _NEIGHBOURS
    derived[0] = False
    own = np.flatnonzero(~derived)
    head = np.arange(count)
    head[derived] = random.choice(own, derived.sum())
    is_copy = derived & (kind < _COPIES)
    return _Plan(head, is_copy, derived & ~is_copy)


def _read(plan: _Plan) -> tuple[ScanTable, float]:
    count = len(plan.head)
    thumbnails = Thumbnails.empty()
    digests, seconds = [], 0.0
    for row in range(count):
        data = _encoded(plan, row)
        started = time.perf_counter()
        decoded = images.decode(data)
        whole, head = draw_thumbnails(decoded)
        thumbnails.whole.put(row, whole)
        thumbnails.head.put(row, head)
        digests.append(hashlib.sha256(decoded.tobytes()).hexdigest())
        seconds += time.perf_counter() - started
    numbers = np.arange(count, dtype=np.int32)
    scans = [Scan(f"{row}.jpg", "synthetic", None) for row in range(count)]
    nothing = StoredPixels(0, 0)
    cues = np.zeros(count, CUES)
    table = ScanTable(scans, digests, nothing, [], numbers, numbers, thumbnails, cues, NO_PAIRS)
    return table, seconds


def _encoded(plan: _Plan, row: int) -> bytes:
    random = np.random.default_rng([len(plan.head), row])
    pixels = _head(int(plan.head[row]), 30.0 * plan.is_neighbour[row], random)
    quality = 90
    if plan.is_copy[row]:
        grey = np.asarray(turn(pixels, int(random.integers(8))), np.float64)
        pixels = (grey * random.uniform(0.7, 1) + random.uniform(0, 10)).astype(np.uint8)
        size, quality = int(random.integers(80, 225)), int(random.integers(50, 96))
        pixels = images.resize(pixels, size)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=quality)
    return data.getvalue()


def _head(number: int, change: float, change_random: np.random.Generator) -> NDArray[np.uint8]:
    """Draw an ellipse of smooth tissue in a bright skull: (112, 112), 0-255."""
    random = np.random.default_rng(number)
    centre, radius = random.normal(_SIZE / 2, 3, 2), random.uniform(36, 50, 2)
    tissue = random.normal(100, 40, (14, 14))
    tissue += change_random.normal(0, 1, tissue.shape) * change
    brain = Image.fromarray(tissue.clip(20, 200).astype(np.uint8))
    grey = np.asarray(brain.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC))
    y, x = np.ogrid[:_SIZE, :_SIZE]
    reach = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2
    return np.where(reach > 1.15, 4, np.where(reach > 1, 190, grey)).astype(np.uint8)


if __name__ == "__main__":
    main()
