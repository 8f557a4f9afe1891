"""Predictions of a classifier on labelled scans, and which of these scans it may know already.

It takes a function from pixels to probabilities, so that what is evaluated is the SavedModel that
will be served. The figures are computed in `figures`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from brain_tumor import artifact, scoring
from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import read_scans
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import ScanTable, label_indices
from brain_tumor.errors import DataError

_BATCH = 64

ALL = "all"
NEW_PICTURES = "picture_not_in_training"
NOTHING_ALIKE = "nothing_alike_in_training"
SET_NAMES = {
    ALL: "all scans",
    NEW_PICTURES: "scans whose picture is not in training",
    NOTHING_ALIKE: "scans that nothing in training resembles (leak-free)",
}
"""How people are told which scans a figure is measured on; validation counts as training."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions on one set of n scans."""

    class_names: Sequence[str]
    files: Sequence[str]
    pixels: StoredPixels
    """(n, size, size), 0-255: what the network saw."""
    labels: NDArray[np.int32]
    """(n,) indices into `class_names`."""
    probabilities: NDArray[np.float32]
    """(n, classes)."""
    groups: NDArray[np.int32]
    """(n,) number of the near-duplicate group; groups are what intervals resample."""
    channel: str
    """What the scans are: `test`, `val` where a job has no test channel, or an archive's name."""
    leaks: NDArray[np.bool_] | None = None
    """(n,) the scan shows a picture that was trained or validated on; None: not known."""
    resembles: NDArray[np.bool_] | None = None
    """(n,) something of its group was trained or validated on; None: not known."""
    threshold: float = 0.0
    """A scan whose highest probability is below it is answered `uncertain`."""
    validated_on: bool = False
    """The scans also chose the epoch, the temperature and the threshold: figures are too high."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) index of the most probable class."""
        best: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

    @property
    def correct(self) -> NDArray[np.bool_]:
        """(n,) whether the most probable class is the labelled one."""
        right: NDArray[np.bool_] = self.predicted == self.labels
        return right

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(n,) the highest probability."""
        highest: NDArray[np.float64] = self.probabilities.max(axis=1).astype(np.float64)
        return highest

    @property
    def accuracy(self) -> float:
        """Share of the scans whose most probable class is the labelled one."""
        return float(metrics.accuracy_score(self.labels, self.predicted))

    def confusion_matrix(self) -> NDArray[np.int64]:
        """(classes, classes) counts: rows are labels, columns are predictions."""
        matrix: NDArray[np.int64] = metrics.confusion_matrix(
            self.labels, self.predicted, labels=range(len(self.class_names))
        )
        return matrix

    def rows(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Evaluation":
        """Return the evaluation of these rows only; takes a mask (n,) or row numbers."""
        numbers = np.arange(len(self))[chosen]
        return replace(
            self,
            files=[self.files[row] for row in numbers],
            pixels=self.pixels.rows(numbers),
            labels=self.labels[numbers],
            probabilities=self.probabilities[numbers],
            groups=self.groups[numbers],
            leaks=None if self.leaks is None else self.leaks[numbers],
            resembles=None if self.resembles is None else self.resembles[numbers],
        )

    @property
    def leaky(self) -> bool:
        """Whether some scan, or one like it, is known to have been trained or validated on."""
        return bool(
            (self.leaks is not None and self.leaks.any())
            or (self.resembles is not None and self.resembles.any())
        )

    def subsets(self) -> "dict[str, Evaluation | None]":
        """Return the sets that figures are given for, side by side; None is an empty one.

        Without a leak, or where it is not known, that is all scans alone. With a leak: all scans,
        those whose picture was not trained on, and those that nothing trained on resembles.
        """
        if not self.leaky:
            return {ALL: self}
        none = np.zeros(len(self), np.bool_)
        leaks = none if self.leaks is None else self.leaks
        # A copy of a picture is also like it, whatever the grouping says.
        resembles = leaks if self.resembles is None else leaks | self.resembles
        masks = {ALL: ~none, NEW_PICTURES: ~leaks, NOTHING_ALIKE: ~resembles}
        return {name: self.rows(mask) if mask.any() else None for name, mask in masks.items()}

    def headline(self) -> "tuple[str, Evaluation]":
        """Return the strictest set that is not empty, and its name: what a result is quoted on."""
        present = [(name, part) for name, part in self.subsets().items() if part is not None]
        return present[-1]

    def leak_free(self) -> "Evaluation | None":
        """Return the scans that nothing trained on resembles; None where none is known to be so."""
        if self.leaks is None or self.resembles is None:
            return None
        return self.subsets()[NOTHING_ALIKE] if self.leaky else self


@dataclass(frozen=True)
class ForeignFigures:
    """How well pictures that are no brain MRI are told from scans; all shares are 0-1."""

    pictures: int
    scans: int
    auroc: float
    false_alarms_at_95: float
    """Share of the scans that would be refused where 95 % of the foreign pictures are."""
    false_alarms: float
    """Share of the scans that is refused at the model's threshold."""
    refused: dict[str, float]
    """Kind of foreign picture (photograph, text, noise, ...) -> share refused at the threshold."""


def overlap(
    table: ScanTable, seen: Sequence[ScanTable]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which rows of a table a model has seen.

    Args:
        table: the scans to evaluate, n of them.
        seen: what was trained and validated on; pictures and groups are numbered jointly.

    Returns:
        (n,) the row shows a picture of `seen`, and (n,) a row of its group is in `seen`.
    """
    pictures = np.concatenate([other.pictures for other in seen])
    groups = np.concatenate([other.groups for other in seen])
    return np.isin(table.pictures, pictures), np.isin(table.groups, groups)


def evaluate_model(
    model_dir: Path, source: Path
) -> tuple[Evaluation, artifact.ModelInfo, scoring.PredictFn]:
    """Evaluate a model folder on every readable scan of an archive.

    Whether the model was trained on these scans is not known: a model folder holds no scans.

    Raises:
        ArtifactError: the folder is no model.
        DataError: the archive cannot be read, or holds a class that the model has not.
    """
    info = artifact.load_info(model_dir)
    with Archive(source) as archive:
        table = read_scans(archive, info.image_size)
    unknown = sorted(set(table.labels) - set(info.class_names))
    if unknown:
        raise DataError(
            f"{source} holds classes that the model has not: {', '.join(unknown)} (the model has "
            f"{', '.join(info.class_names)})."
        )
    if not len(table):
        raise DataError(
            f"{source} holds no scan that can be read; the first of {len(table.damaged)} damaged "
            f"files is {table.damaged[0].file}: {table.damaged[0].reason}"
        )
    predict = artifact.load_predict(model_dir)
    evaluation = evaluate_table(predict, table, info.class_names, source.name)
    return replace(evaluation, threshold=info.thresholds["confident"]), info, predict


def evaluate_table(
    predict: scoring.PredictFn, table: ScanTable, class_names: Sequence[str], channel: str
) -> Evaluation:
    """Predict every scan of a table."""
    return Evaluation(
        class_names=class_names,
        files=table.files,
        pixels=table.pixels,
        labels=label_indices(table, class_names),
        probabilities=scoring.in_batches(predict, table.pixels, _BATCH),
        groups=table.groups,
        channel=channel,
    )
