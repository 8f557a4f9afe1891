"""Pairs of scans that resemble each other in any of the 8 poses (flips and quarter turns).

Two thumbnails are compared by normalised cross-correlation (NCC); their distance is 1 - NCC. The
cosine transform makes this cheap: a flip only changes signs of a picture's coefficients and a
transposition only exchanges them, so two matrix products over low frequencies give a bound for all
8 poses, and the few pairs that pass it are compared to the full.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.thumbnails import SIZE, Thumbnails

POSES = ("identity", "mirror", "flip", "rot180", "transpose", "rot270", "rot90", "transverse")
"""What the second of a pair has to undergo to show the first; rot90 is counter-clockwise."""

COMPARED_ALL_WITH_ALL = 10_000
"""Up to so many scans every pair is compared; beyond, those that share a landmark (see below)."""

_LOW = 16
_BLOCK = 512
_SCANS_A_LANDMARK = 32
_LANDMARKS_A_SCAN = 6
# Of float32 sums over 3,136 products; a bound must not cut off what it bounds.
_ROUNDING = 1e-4

_Grey = TypeVar("_Grey", np.uint8, np.float32)
_Floats = NDArray[np.float32]
_Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows that resemble each other, each pair once, the nearest first."""

    first: _Rows
    second: _Rows
    """(m,) rows; the first is the smaller number."""
    pose: NDArray[np.int8]
    """(m,) index into POSES: that pose of `second` shows `first`."""
    distance: _Floats
    """(m,) 1 - NCC of the better of both kinds of thumbnail, 0-2."""

    def __len__(self) -> int:
        return len(self.first)

    def where(self, kept: NDArray[np.bool_]) -> "Pairs":
        """Return these pairs only."""
        return Pairs(self.first[kept], self.second[kept], self.pose[kept], self.distance[kept])


_INVERSE = np.array([0, 1, 2, 3, 4, 6, 5, 7], np.int8)

NO_PAIRS = Pairs(
    np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, np.float32)
)


def inverse(pose: int) -> int:
    """Return the pose that undoes a pose: the index into POSES for a pair the other way round."""
    return int(_INVERSE[pose])


def turn(pictures: NDArray[_Grey], pose: int) -> NDArray[_Grey]:
    """Put pictures (..., height, width) into a pose, an index into POSES."""
    if pose >= 4:
        pictures = pictures.swapaxes(-1, -2)
    if pose & 2:
        pictures = pictures[..., ::-1, :]
    return pictures[..., ::-1] if pose & 1 else pictures


def compare(thumbnails: Thumbnails, first: NDArray[np.intp], second: NDArray[np.intp]) -> Pairs:
    """Measure given pairs of rows in all poses, both of (m,); in the order given."""
    pose = np.zeros(len(first), np.int8)
    distance = np.full(len(first), np.inf, np.float32)
    for pictures in (thumbnails.whole, thumbnails.head):
        for number in range(len(POSES)):
            there = 1 - _correlate(pictures, first, second, number)
            pose[there < distance] = number
            distance = np.minimum(distance, there)
    return Pairs(first.astype(np.int32), second.astype(np.int32), pose, np.maximum(0, distance))


def find_pairs(thumbnails: Thumbnails, distance: float) -> Pairs:
    """Find the pairs of scans whose thumbnails are at most `distance` apart in some pose.

    Up to COMPARED_ALL_WITH_ALL scans none is missed. Beyond, every scan is given to the landmarks
    (randomly drawn scans) that it resembles most, and compared with what those were given too:
    the cost a scan stays the same, and a pair is missed when it shares no landmark.
    """
    if len(thumbnails.whole) < 2:
        return NO_PAIRS
    found = [
        _find(_Spectra(pictures), 1 - distance) for pictures in (thumbnails.whole, thumbnails.head)
    ]
    together = Pairs(
        *(
            np.concatenate([getattr(pairs, name) for pairs in found])
            for name in ("first", "second", "pose", "distance")
        )
    )
    return _nearest_of_each(together)


def _nearest_of_each(pairs: Pairs) -> Pairs:
    order = np.lexsort((pairs.pose, pairs.distance, pairs.second, pairs.first))
    first, second = pairs.first[order], pairs.second[order]
    new = np.ones(len(order), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    order = order[new]
    order = order[np.argsort(pairs.distance[order], kind="stable")]
    return Pairs(pairs.first[order], pairs.second[order], pairs.pose[order], pairs.distance[order])


class _Spectra:
    """Thumbnails (n, 56, 56) with their low-frequency coefficients, split by parity."""

    def __init__(self, pictures: StoredPixels) -> None:
        self.pictures = pictures
        low = np.empty((len(pictures), _LOW, _LOW), np.float32)
        for start in range(0, len(pictures), _BLOCK):
            part = slice(start, start + _BLOCK)
            flat, self_norm = _centred(pictures[part])
            scaled = flat.reshape(-1, SIZE, SIZE) / np.maximum(self_norm, 1)[:, None, None]
            low[part] = scipy.fft.dctn(scaled, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW]
        self.upright = _by_parity(low)
        self.transposed = _by_parity(low.transpose(0, 2, 1))
        energy = np.square(low).sum((1, 2))
        rest = np.sqrt(np.maximum(0, 1 - energy)) * (energy > 0)
        # What was cut off goes in as one more number: by Cauchy-Schwarz the product of two rests
        # is at least what the cut-off parts would add, in any pose.
        self._rest = rest[:, None].astype(np.float32)

    @cached_property
    def bounded(self) -> tuple[list[_Floats], list[_Floats]]:
        """Coefficients upright and transposed, each with the rest."""
        return self._with_rest(self.upright), self._with_rest(self.transposed)

    def _with_rest(self, parts: list[_Floats]) -> list[_Floats]:
        return [np.concatenate([parts[0], self._rest], 1), *parts[1:]]


def _by_parity(low: _Floats) -> list[_Floats]:
    return [
        np.ascontiguousarray(low[:, u::2, v::2]).reshape(len(low), -1)
        for u in (0, 1)
        for v in (0, 1)
    ]


def _centred(pictures: NDArray[np.uint8]) -> tuple[_Floats, _Floats]:
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    return flat, np.sqrt(np.einsum("ij,ij->i", flat, flat))


def _in_all_poses(a: list[_Floats], b: list[_Floats]) -> list[_Floats]:
    """Multiply by parity, and add up with the signs of no flip, mirror, flip and both."""
    ee, eo, oe, oo = (x @ y.T for x, y in zip(a, b, strict=True))
    plus, minus, odd_plus, odd_minus = ee + eo, ee - eo, oe + oo, oe - oo
    return [plus + odd_plus, minus + odd_minus, plus - odd_plus, minus - odd_minus]


def _find(spectra: _Spectra, least: float) -> Pairs:
    bounded = spectra.bounded
    count = len(spectra.pictures)
    keys = [
        key
        for rows in _compared_together(spectra)
        for key in _candidates(bounded, rows, least - _ROUNDING, count)
    ]
    if not keys:
        return NO_PAIRS
    pose, both = np.divmod(np.unique(np.concatenate(keys)), count * count)
    first, second = np.divmod(both, count)
    ncc = np.empty(len(first), np.float32)
    for number in range(len(POSES)):
        of_pose = pose == number
        ncc[of_pose] = _correlate(spectra.pictures, first[of_pose], second[of_pose], number)
    pairs = Pairs(
        first.astype(np.int32),
        second.astype(np.int32),
        pose.astype(np.int8),
        np.maximum(0, 1 - ncc),
    )
    return pairs.where(ncc >= least)


def _candidates(
    bounded: tuple[list[_Floats], list[_Floats]], rows: NDArray[np.intp], least: float, count: int
) -> Iterator[NDArray[np.int64]]:
    """Yield (pose * count + first) * count + second of the pairs whose bound is high enough."""
    upright, transposed = ([part[rows] for part in parts] for parts in bounded)
    for start in range(0, len(rows), _BLOCK):
        a = [part[start : start + _BLOCK] for part in upright]
        for other in range(start, len(rows), 4 * _BLOCK):
            there = slice(other, other + 4 * _BLOCK)
            bounds = [
                bound
                for parts in (upright, transposed)
                for bound in _in_all_poses(a, [part[there] for part in parts])
            ]
            for pose, bound in enumerate(bounds):
                i, j = np.nonzero(bound >= least)
                first, second = rows[start + i], rows[other + j]
                once = first < second
                yield (pose * count + first[once]) * count + second[once]


def _correlate(
    pictures: StoredPixels,
    first: NDArray[np.integer],
    second: NDArray[np.integer],
    pose: int,
) -> _Floats:
    """Correlate pairs of thumbnails to the full; 0 where one shows nothing."""
    ncc = np.zeros(len(first), np.float32)
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, a_norm = _centred(pictures[first[part]])
        b, b_norm = _centred(turn(pictures[second[part]], pose))
        ncc[part] = np.einsum("ij,ij->i", a, b) / np.maximum(a_norm * b_norm, 1)
    return ncc


def _compared_together(spectra: _Spectra) -> Iterator[NDArray[np.intp]]:
    """Yield rows of which every pair is to be compared."""
    count = len(spectra.pictures)
    if count <= COMPARED_ALL_WITH_ALL:
        yield np.arange(count)
        return
    # A fixed seed: the same scans give the same groups.
    marks = np.random.default_rng(0).choice(count, count // _SCANS_A_LANDMARK, replace=False)
    upright, transposed = (
        [part[marks] for part in parts] for parts in (spectra.upright, spectra.transposed)
    )
    given = np.empty((count, _LANDMARKS_A_SCAN), np.int32)
    for start in range(0, count, _BLOCK):
        a = [part[start : start + _BLOCK] for part in spectra.upright]
        likeness = np.maximum.reduce(_in_all_poses(a, upright) + _in_all_poses(a, transposed))
        given[start : start + _BLOCK] = np.argpartition(-likeness, _LANDMARKS_A_SCAN, axis=1)[
            :, :_LANDMARKS_A_SCAN
        ]
    order = np.argsort(given, axis=None, kind="stable")
    ends = np.cumsum(np.bincount(given.ravel(), minlength=len(marks)))[:-1]
    for places in np.split(order, ends):
        yield np.sort(places // _LANDMARKS_A_SCAN)
