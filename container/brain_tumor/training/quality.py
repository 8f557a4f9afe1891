"""The content of evaluation.json: SageMaker's model-quality form, and our further figures."""

from dataclasses import asdict, dataclass
from typing import Any

from sklearn import metrics

from brain_tumor.artifact import ModelInfo
from brain_tumor.training import bootstrap
from brain_tumor.training.calibration import CALIBRATION_BINS
from brain_tumor.training.evaluation import ALL, Evaluation, ForeignFigures
from brain_tumor.training.figures import Figures, compute_figures
from brain_tumor.training.robustness import Robustness


@dataclass(frozen=True)
class Findings:
    """All that is known of a model's quality; every report is written from it."""

    evaluation: Evaluation
    info: ModelInfo
    figures: dict[str, Figures | None]
    """Of each set of scans that stands side by side; None is an empty set."""
    robustness: Robustness
    foreign: ForeignFigures | None
    """None when the model cannot tell foreign pictures, or was not tried on any."""

    @property
    def headline(self) -> Figures:
        """The figures to quote: of the strictest set that is not empty."""
        figures = self.figures[self.evaluation.headline()[0]]
        assert figures is not None  # noqa: S101 - the headline's set is not empty
        return figures

    @property
    def everything(self) -> Figures:
        """The figures of all scans, whether trained on or not."""
        figures = self.figures[ALL]
        assert figures is not None  # noqa: S101 - an evaluation holds a scan
        return figures


def find(
    evaluation: Evaluation,
    info: ModelInfo,
    robustness: Robustness,
    foreign: ForeignFigures | None = None,
) -> Findings:
    """Compute the figures of every set of scans and put them beside what else was measured."""
    figures = {
        name: None if part is None else compute_figures(part)
        for name, part in evaluation.subsets().items()
    }
    return Findings(evaluation, info, figures, robustness, foreign)


def model_quality(findings: Findings) -> dict[str, Any]:
    """Return the figures in SageMaker's model-quality form, ours beside it; shares are 0-1.

    Form: developer guide, "Model quality metrics", multiclass; it is that of all scans. The figure
    to quote is under `headline`.
    """
    evaluation = findings.evaluation
    return {
        "dataset": {"item_count": len(evaluation), "channel": evaluation.channel},
        "validated_on": evaluation.validated_on,
        "multiclass_classification_metrics": _multiclass_metrics(evaluation, findings.everything),
        "intervals": {
            "method": bootstrap.METHOD,
            "level": bootstrap.LEVEL,
            "resamples": bootstrap.RESAMPLES,
            "seed": bootstrap.SEED,
            "groups": findings.everything.groups,
        },
        "headline": {
            "measured_on": evaluation.headline()[0],
            "scans": findings.headline.scans,
            "accuracy": asdict(findings.headline.accuracy),
        },
        "leak": _leak(evaluation),
        "figures": {
            name: None if figures is None else asdict(figures)
            for name, figures in findings.figures.items()
        },
        "calibration": {
            "temperature": findings.info.temperature,
            "bins": CALIBRATION_BINS,
            "ece": findings.headline.ece.value,
        },
        "abstention": {
            "threshold": evaluation.threshold,
            "uncertain_share": 1 - findings.headline.confident_share,
            "confident_accuracy": findings.headline.confident_accuracy,
        },
        "robustness": asdict(findings.robustness),
        "foreign_pictures": None if findings.foreign is None else asdict(findings.foreign),
    }


def _multiclass_metrics(evaluation: Evaluation, figures: Figures) -> dict[str, Any]:
    names, matrix = evaluation.class_names, evaluation.confusion_matrix()
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        evaluation.labels, evaluation.predicted, average="weighted", zero_division=0
    )
    return {
        "confusion_matrix": {
            name: dict(zip(names, map(int, row), strict=True))
            for name, row in zip(names, matrix, strict=True)
        },
        "accuracy": asdict(figures.accuracy),
        "accuracy_best_constant_classifier": {
            "value": float(matrix.sum(axis=1).max() / matrix.sum())
        },
        "weighted_precision": {"value": float(precision)},
        "weighted_recall": {"value": float(recall)},
        "weighted_f1": {"value": float(f1)},
        "macro_f1": asdict(figures.macro_f1),
        "balanced_accuracy": asdict(figures.balanced_accuracy),
        "recall": {
            name: asdict(of_class.sensitivity)
            for name, of_class in figures.classes.items()
            if of_class.sensitivity
        },
    }


def _leak(evaluation: Evaluation) -> dict[str, Any]:
    """Counts of test scans that were seen in training; all None when that is not known."""
    known = evaluation.leaks is not None and evaluation.resembles is not None
    return {
        "known": known,
        "picture_in_training": int(evaluation.leaks.sum())
        if evaluation.leaks is not None
        else None,
        "alike_in_training": (
            int(evaluation.resembles.sum()) if evaluation.resembles is not None else None
        ),
    }
