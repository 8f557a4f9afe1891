"""The figures of an evaluation: how right, how well calibrated, how sure."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from brain_tumor.training.abstention import (
    accuracy_at_coverage,
    most_confident_first,
    risk_coverage,
)
from brain_tumor.training.bootstrap import (
    Estimate,
    Weights,
    estimate,
    estimate_share,
    group_count,
    resample,
)
from brain_tumor.training.calibration import calibration_error
from brain_tumor.training.evaluation import Evaluation
from brain_tumor.training.per_class import (
    ClassFigures,
    ConfusionShares,
    TumourFigures,
    class_figures,
    confusion_shares,
    tumour_figures,
)


@dataclass(frozen=True)
class Figures:
    """All figures of one set of scans; docs/evaluation.md says what each means."""

    scans: int
    groups: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    macro_roc_auc: float | None
    classes: dict[str, ClassFigures]
    tumour: TumourFigures | None
    ece: Estimate
    brier: float
    log_loss: float
    accuracy_at_80: Estimate
    """Of the most confident 80 %."""
    accuracy_at_60: float
    aurc: float
    confident_share: float
    """Share of the scans at or above the threshold for `uncertain`."""
    confident_accuracy: float | None
    """Of those; None when all are uncertain."""

    @property
    def worst_sensitivity(self) -> tuple[str, float]:
        """The class that is found least often, and how often."""
        found = {
            name: figures.sensitivity.value
            for name, figures in self.classes.items()
            if figures.sensitivity
        }
        name = min(found, key=found.__getitem__)
        return name, found[name]


@dataclass(frozen=True)
class _Drawn:
    """The figures of all resamples, (resamples,) each."""

    shares: ConfusionShares
    balanced_accuracy: NDArray[np.float64]
    macro_f1: NDArray[np.float64]
    ece: NDArray[np.float64]
    accuracy_at_80: NDArray[np.float64]


def compute_figures(evaluation: Evaluation) -> Figures:
    """Compute all figures of an evaluation of at least one scan."""
    labels, predicted, groups = evaluation.labels, evaluation.predicted, evaluation.groups
    correct, confidence = evaluation.correct, evaluation.confidence
    drawn = _draw(evaluation)
    present = np.unique(labels)
    count = group_count(groups)
    # A mean over classes is no surer than its rarest class.
    rarest = min(group_count(groups[labels == number]) for number in present)
    balanced = metrics.recall_score(labels, predicted, labels=present, average="macro")
    macro_f1 = metrics.f1_score(labels, predicted, average="macro")
    classes = class_figures(evaluation, drawn.shares)
    aucs = [figures.roc_auc for figures in classes.values() if figures.roc_auc is not None]
    at_80, at_60 = (accuracy_at_coverage(correct, confidence, share)[0] for share in (0.8, 0.6))
    surest = most_confident_first(correct, confidence)[: math.ceil(0.8 * len(evaluation))]
    ece = calibration_error(correct, confidence)[0]
    brier, log_loss = _proper_scores(evaluation)
    confident = confidence >= evaluation.threshold
    return Figures(
        scans=len(evaluation),
        groups=count,
        accuracy=estimate_share(evaluation.accuracy, drawn.shares.accuracy, count),
        balanced_accuracy=estimate_share(float(balanced), drawn.balanced_accuracy, rarest),
        macro_f1=estimate_share(float(macro_f1), drawn.macro_f1, rarest),
        macro_roc_auc=float(np.mean(aucs)) if aucs else None,
        classes=classes,
        tumour=tumour_figures(evaluation),
        ece=estimate(float(ece), drawn.ece, count),
        brier=brier,
        log_loss=log_loss,
        accuracy_at_80=estimate_share(
            float(at_80), drawn.accuracy_at_80, group_count(groups[surest])
        ),
        accuracy_at_60=float(at_60),
        aurc=float(risk_coverage(correct, confidence)[1].mean()),
        confident_share=float(confident.mean()),
        confident_accuracy=float(correct[confident].mean()) if confident.any() else None,
    )


def _draw(evaluation: Evaluation) -> _Drawn:
    classes = len(evaluation.class_names)

    def columns(weights: Weights) -> NDArray[np.float64]:
        shares = confusion_shares(evaluation, weights)
        certain = evaluation.correct, evaluation.confidence
        return np.column_stack(
            [
                shares.accuracy,
                calibration_error(*certain, weights),
                accuracy_at_coverage(*certain, 0.8, weights),
                shares.sensitivity,
                shares.specificity,
                shares.f1,
            ]
        )

    drawn = resample(evaluation.groups, columns)
    sensitivity, specificity, f1 = np.split(drawn[:, 3:], [classes, 2 * classes], axis=1)
    return _Drawn(
        shares=ConfusionShares(drawn[:, 0], sensitivity, specificity, f1),
        balanced_accuracy=np.nanmean(sensitivity, axis=1),
        macro_f1=np.nanmean(f1, axis=1),
        ece=drawn[:, 1],
        accuracy_at_80=drawn[:, 2],
    )


def _proper_scores(evaluation: Evaluation) -> tuple[float, float]:
    """Brier score, summed over the classes (0-2), and log loss (natural logarithm)."""
    exact = evaluation.probabilities.astype(np.float64)
    # scikit-learn insists on rows that sum to 1 in float64.
    given = exact / exact.sum(axis=1, keepdims=True)
    numbers = range(len(evaluation.class_names))
    brier = metrics.brier_score_loss(evaluation.labels, given, labels=numbers, scale_by_half=False)
    return float(brier), float(metrics.log_loss(evaluation.labels, given, labels=numbers))
