"""Figures of a classifier on labelled scans.

It takes a function from pixels to probabilities, so that what is evaluated is the SavedModel that
will be served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn import metrics

from brain_tumor import artifact
from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import ScanTable, read_scans
from brain_tumor.errors import DataError

_LEVEL = 0.95
_BATCH = 64


@dataclass(frozen=True)
class Evaluation:
    """Predictions on one set of scans."""

    class_names: Sequence[str]
    files: Sequence[str]
    labels: NDArray[np.int32]
    """(n,) indices into `class_names`."""
    probabilities: NDArray[np.float32]
    """(n, classes)."""
    channel: str
    """What the scans are: `test`, `val` where a job has no test channel, or an archive's name."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(n,) index of the most probable class."""
        best: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return best

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


def label_indices(table: ScanTable, class_names: Sequence[str]) -> NDArray[np.int32]:
    """Return the index into `class_names` of every row's label."""
    index = {name: number for number, name in enumerate(class_names)}
    return np.array([index[label] for label in table.labels], np.int32)


def evaluate_model(model_dir: Path, source: Path) -> Evaluation:
    """Evaluate a model folder on every readable scan of an archive.

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
    predict = artifact.load_predict(model_dir)
    return evaluate_table(predict, table, info.class_names, source.name)


def evaluate_table(
    predict: artifact.PredictFn, table: ScanTable, class_names: Sequence[str], channel: str
) -> Evaluation:
    """Predict every scan of a table."""
    return Evaluation(
        class_names=class_names,
        files=table.files,
        labels=label_indices(table, class_names),
        probabilities=artifact.in_batches(predict, table.pixels, _BATCH),
        channel=channel,
    )


def model_quality(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures in SageMaker's model-quality form, each share with a 95 % interval.

    Form: developer guide, "Model quality metrics", multiclass. Intervals are Wilson's (1927), for
    independent scans: slices of one patient are not, so they are rather too narrow.
    """
    names = evaluation.class_names
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        evaluation.labels, evaluation.predicted, average="weighted", zero_division=0
    )
    macro_f1 = metrics.f1_score(
        evaluation.labels, evaluation.predicted, average="macro", zero_division=0
    )
    matrix = evaluation.confusion_matrix()
    best_constant = matrix.sum(axis=1).max() / matrix.sum()
    return {
        "dataset": {"item_count": len(evaluation.labels), "channel": evaluation.channel},
        "multiclass_classification_metrics": {
            "confusion_matrix": {
                name: dict(zip(names, map(int, row), strict=True))
                for name, row in zip(names, matrix, strict=True)
            },
            "accuracy": _share(int(matrix.trace()), int(matrix.sum())),
            "accuracy_best_constant_classifier": {"value": float(best_constant)},
            "weighted_precision": {"value": float(precision)},
            "weighted_recall": {"value": float(recall)},
            "weighted_f1": {"value": float(f1)},
            "macro_f1": {"value": float(macro_f1)},
            "recall": {
                name: _share(int(row[index]), int(row.sum()))
                for index, (name, row) in enumerate(zip(names, matrix, strict=True))
                if row.sum()
            },
        },
    }


def _share(hits: int, total: int) -> dict[str, Any]:
    interval = binomtest(hits, total).proportion_ci(_LEVEL, method="wilson")
    share = hits / total
    return {
        "value": share,
        "standard_deviation": float(np.sqrt(share * (1 - share) / total)),
        "confidence_interval": {
            "level": _LEVEL,
            "lower": float(interval.low),
            "upper": float(interval.high),
        },
    }
