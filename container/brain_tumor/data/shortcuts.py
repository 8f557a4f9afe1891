"""How far a class can be told without looking at the brain, and what a leak is worth.

Each cue is fitted on one half of the near-duplicate groups and scored on the other, both ways
round. A one-nearest-neighbour on tiny thumbnails, which can do nothing but remember, shows how
much of an accuracy on the archive's own split is memory.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from pydantic import BaseModel

from brain_tumor.data.neighbours import turn
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import ScanTable

CLEAR_MARGIN = 0.1
"""A cue that beats the largest class's share by so much is named in words."""

_BINS = 10
_TINY = 16
_MIRROR = 1
_BLOCK = 512

_NAMED: dict[str, Callable[[NDArray[np.void]], NDArray[np.str_]]] = {
    "format": lambda cues: cues["format"].astype(str),
    "colour mode": lambda cues: cues["mode"].astype(str),
    "width x height": lambda cues: np.array(
        [f"{width} x {height}" for width, height in cues[["width", "height"]].tolist()]
    ),
}
_MEASURED = {
    "file bytes": "bytes",
    "mean grey of the border": "border",
    "99th percentile of grey": "bright",
}


class Cue(BaseModel):
    """How well one cue alone tells the class."""

    accuracy: float
    """Share of files, fitted on one half of the groups and scored on the other."""
    by_class: dict[str, str]
    """Class -> the cue's usual value: median, or the most common value and its share."""


class Memory(BaseModel):
    """One-nearest-neighbour on 16x16 thumbnails, mirrored ones too, across the archive's split."""

    test_files: int
    accuracy: float
    """With the training side as it is."""
    removed: int
    """Training files that resemble a test file."""
    accuracy_without: float | None
    """With those taken out; None when nothing would be left."""


class Shortcuts(BaseModel):
    """What `shortcuts` in dataset_report.json holds."""

    majority: float
    """Share of the largest class: what guessing gets."""
    cues: dict[str, Cue]
    clear: list[str]
    """Cues that beat `majority` by CLEAR_MARGIN."""
    nearest_neighbour: Memory | None
    """None where the archive has no sides."""


def measure_shortcuts(table: ScanTable) -> Shortcuts:
    """Measure every cue; none where there are fewer than two classes or groups."""
    labels = np.array(table.labels)
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2 or len(np.unique(table.groups)) < 2:
        return Shortcuts(majority=1, cues={}, clear=[], nearest_neighbour=None)
    second_half = _second_half(table.groups)
    cues = {}
    for name, texts in _NAMED.items():
        values = texts(table.cues)
        by_class = {label: _commonest(values[labels == label]) for label in names.tolist()}
        cues[name] = Cue(accuracy=_score(values, labels, second_half), by_class=by_class)
    for name, field in _MEASURED.items():
        numbers = table.cues[field]
        by_class = {label: f"{np.median(numbers[labels == label]):.4g}" for label in names.tolist()}
        edges = np.quantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1])
        accuracy = _score(np.searchsorted(edges, numbers).astype(str), labels, second_half)
        cues[name] = Cue(accuracy=accuracy, by_class=by_class)
    majority = float(counts.max() / counts.sum())
    return Shortcuts(
        majority=majority,
        cues=cues,
        clear=[name for name, cue in cues.items() if cue.accuracy >= majority + CLEAR_MARGIN],
        nearest_neighbour=_measure_memory(table),
    )


def _second_half(groups: NDArray[np.int32]) -> NDArray[np.bool_]:
    numbers = np.unique(groups)
    drawn = np.random.default_rng(0).permutation(numbers)[: len(numbers) // 2]
    return np.isin(groups, drawn)


def _score(
    values: NDArray[np.str_], labels: NDArray[np.str_], second_half: NDArray[np.bool_]
) -> float:
    """Predict a value's commonest class of the other half: the share of files that it is right."""
    right = 0
    for scored in (second_half, ~second_half):
        usual = Counter(labels[~scored].tolist()).most_common(1)[0][0]
        by_value = {
            value: Counter(labels[~scored & (values == value)].tolist()).most_common(1)[0][0]
            for value in set(values[~scored].tolist())
        }
        predicted = [by_value.get(value, usual) for value in values[scored].tolist()]
        right += int(np.sum(np.array(predicted) == labels[scored]))
    return right / len(labels)


def _commonest(values: NDArray[np.str_]) -> str:
    value, count = Counter(values.tolist()).most_common(1)[0]
    return f"{value} ({count / len(values):.0%})"


def _measure_memory(table: ScanTable) -> Memory | None:
    sides = np.array([scan.side or "" for scan in table.scans])
    train, test = np.flatnonzero(sides == "train"), np.flatnonzero(sides == "test")
    if not len(train) or not len(test):
        return None
    labels = np.array(table.labels)
    apart = train[~np.isin(table.groups[train], table.groups[test])]

    def accuracy(known: NDArray[np.intp]) -> float:
        nearest = known[_nearest(table.thumbnails.whole, test, known)]
        return float(np.mean(labels[nearest] == labels[test]))

    return Memory(
        test_files=len(test),
        accuracy=accuracy(train),
        removed=len(train) - len(apart),
        accuracy_without=accuracy(apart) if len(apart) else None,
    )


def _nearest(
    pictures: StoredPixels, asked: NDArray[np.intp], known: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Find the place in `known` of the nearest picture to each of `asked`: (len(asked),)."""
    there = _tiny(pictures, known)
    nearest = []
    for start in range(0, len(asked), _BLOCK):
        here = _tiny(pictures, asked[start : start + _BLOCK])
        mirrored = turn(here.reshape(-1, _TINY, _TINY), _MIRROR).reshape(here.shape)
        nearest.append(np.maximum(here @ there.T, mirrored @ there.T).argmax(1))
    return np.concatenate(nearest)


def _tiny(pictures: StoredPixels, rows: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:
    """Scale thumbnails to 16x16 by their low frequencies: (n, 256), of mean 0 and norm 1."""
    parts = [np.empty((0, _TINY * _TINY), np.float32)]
    for start in range(0, len(rows), _BLOCK):
        values = pictures[rows[start : start + _BLOCK]].astype(np.float32)
        low = scipy.fft.dctn(values, axes=(1, 2), norm="ortho")[:, :_TINY, :_TINY]
        flat = scipy.fft.idctn(low, axes=(1, 2), norm="ortho").reshape(len(low), -1)
        flat -= flat.mean(1, keepdims=True)
        parts.append(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6))
    return np.concatenate(parts)
