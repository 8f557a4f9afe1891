"""The search for pairs, remembered in a folder that outlives the job (SageMaker's warm-pool cache).

What is kept is the result of one function, `find_pairs`, under a digest of all that it depends on:
the thumbnails themselves, the limit, the code and the libraries. So a result can be missing, but
never belong to other scans. Decoded scans are not kept: they take 41 KB each at 208 pixels.
"""

import hashlib
import logging
import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Protocol
from zipfile import BadZipFile

import numpy as np
import scipy

from brain_tumor.data import neighbours
from brain_tumor.data.neighbours import POSES, Pairs, find_pairs
from brain_tumor.data.thumbnails import Thumbnails

log = logging.getLogger(__name__)

MOST_BYTES = 64 << 20
"""The results that were used longest ago go when all of them take more."""

_TYPES = {"first": np.int32, "second": np.int32, "pose": np.int8, "distance": np.float32}


class FindPairs(Protocol):
    """`find_pairs`, or one that remembers."""

    def __call__(self, thumbnails: Thumbnails, distance: float) -> Pairs:
        """Find the pairs of scans that are at most `distance` apart."""


def remembering(folder: Path) -> FindPairs:
    """Give a `find_pairs` that looks into a folder first, and keeps there what it found.

    Others may keep theirs there too; a folder that cannot be used costs a warning, never the job.
    """

    def find(thumbnails: Thumbnails, distance: float) -> Pairs:
        file = folder / "brain-tumor" / f"pairs-{_digest(thumbnails, distance)}.npz"
        pairs = _load(file, len(thumbnails))
        if pairs is None:
            pairs = find_pairs(thumbnails, distance)
            _save(file, pairs)
        return pairs

    return find


def _digest(thumbnails: Thumbnails, distance: float) -> str:
    code = Path(neighbours.__file__).read_bytes()
    digest = hashlib.sha256(repr((distance, np.__version__, scipy.__version__)).encode() + code)
    for pictures in (thumbnails.whole, thumbnails.head):
        digest.update(repr(pictures.shape).encode())
        for block in pictures.blocks():
            digest.update(block.data)
    return digest.hexdigest()


def _load(file: Path, count: int) -> Pairs | None:
    try:
        # `np.load` leaves a damaged file open that it opened itself.
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            pairs = Pairs(**{name: stored[name] for name in _TYPES})
        _require_whole(pairs, count)
        os.utime(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        log.warning("The warm-pool cache's %s is not used: %s", file, error)
        return None
    log.info("Pairs of scans that resemble each other: %d, from %s", len(pairs), file)
    return pairs


def _require_whole(pairs: Pairs, count: int) -> None:
    for name, kind in _TYPES.items():
        values = getattr(pairs, name)
        if values.dtype != kind or values.shape != pairs.first.shape or values.ndim != 1:
            raise ValueError(f"{name} is {values.dtype} {values.shape}")
    rows = np.concatenate([pairs.first, pairs.second])
    if ((rows < 0) | (rows >= count)).any() or (
        (pairs.pose < 0) | (pairs.pose >= len(POSES))
    ).any():
        raise ValueError("it names rows or poses that do not exist")


def _save(file: Path, pairs: Pairs) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, so that the move is within one file system and nobody sees a half.
        with NamedTemporaryFile(dir=file.parent, prefix=".incomplete-", delete=False) as aside:
            try:
                np.savez(aside, **{name: getattr(pairs, name) for name in _TYPES})
                aside.close()
                Path(aside.name).replace(file)
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise
        _drop_oldest(file.parent)
    except OSError as error:
        log.warning("Nothing is kept in the warm-pool cache: %s", error)


def _drop_oldest(folder: Path) -> None:
    files = sorted(folder.glob("pairs-*.npz"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > MOST_BYTES:
            file.unlink(missing_ok=True)
