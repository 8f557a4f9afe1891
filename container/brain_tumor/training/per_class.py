"""Figures of each class against the rest, and of any tumour against none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from brain_tumor.training.bootstrap import Estimate, Weights, estimate_share, group_count
from brain_tumor.training.evaluation import Evaluation

PREVALENCES = (0.01, 0.30)
"""Of each class, for the predictive values: rare as in screening, frequent as in a clinic."""
SPECIFICITY = 0.90
"""At which the sensitivity for any tumour is given."""
_NO_TUMOUR = {"notumor", "notumour", "nontumor", "nontumour", "normal", "healthy"}


@dataclass(frozen=True)
class PredictiveValue:
    """The chance that a positive answer is right."""

    prevalence: float
    value: float | None
    pessimistic: float | None
    """From the lower ends of the intervals of sensitivity and specificity."""


@dataclass(frozen=True)
class ClassFigures:
    """One class against the rest; None where the scans do not allow the figure."""

    scans: int
    sensitivity: Estimate | None
    specificity: Estimate | None
    precision: float | None
    f1: float | None
    roc_auc: float | None
    predictive_values: list[PredictiveValue]


@dataclass(frozen=True)
class TumourFigures:
    """Any tumour against none; the score is 1 minus the probability of no tumour."""

    no_tumour_class: str
    roc_auc: float
    specificity: float
    sensitivity: float
    """At that specificity or a higher one; the cut is made on these very scans."""


@dataclass(frozen=True)
class ConfusionShares:
    """What follows from confusion matrices, one row a resample; NaN where a class has no scan."""

    accuracy: NDArray[np.float64]
    """(resamples,)."""
    sensitivity: NDArray[np.float64]
    """(resamples, classes), as the others below."""
    specificity: NDArray[np.float64]
    f1: NDArray[np.float64]


def confusion_shares(evaluation: Evaluation, weights: Weights) -> ConfusionShares:
    """Compute the shares of many resamples at once; scikit-learn would take minutes."""
    size = len(evaluation.class_names)
    cells = np.eye(size * size)[evaluation.labels * size + evaluation.predicted]
    matrices = (weights @ cells).reshape(-1, size, size)
    right = np.diagonal(matrices, axis1=1, axis2=2)
    labelled, answered = matrices.sum(axis=2), matrices.sum(axis=1)
    total = labelled.sum(axis=1, keepdims=True)
    return ConfusionShares(
        accuracy=right.sum(axis=1) / total[:, 0],
        sensitivity=_ratio(right, labelled),
        specificity=_ratio(total - labelled - answered + right, total - labelled),
        f1=_ratio(2 * right, labelled + answered),
    )


def class_figures(evaluation: Evaluation, drawn: ConfusionShares) -> dict[str, ClassFigures]:
    """Compute the figures of every class.

    Args:
        evaluation: of at least one scan.
        drawn: the shares of all resamples, for the intervals.
    """
    numbers = range(len(evaluation.class_names))
    precision, sensitivity, f1, _ = metrics.precision_recall_fscore_support(
        evaluation.labels, evaluation.predicted, labels=numbers, zero_division=np.nan
    )
    figures = {}
    for number, name in enumerate(evaluation.class_names):
        mine = evaluation.labels == number
        found = _estimate(evaluation, mine, sensitivity[number], drawn.sensitivity[:, number])
        # The specificity is the recall of "any other class".
        spared = metrics.recall_score(~mine, evaluation.predicted != number, zero_division=np.nan)
        left = _estimate(evaluation, ~mine, spared, drawn.specificity[:, number])
        both = mine.any() and not mine.all()
        score = evaluation.probabilities[:, number]
        figures[name] = ClassFigures(
            scans=int(mine.sum()),
            sensitivity=found,
            specificity=left,
            precision=_defined(precision[number]),
            f1=_defined(f1[number]),
            roc_auc=float(metrics.roc_auc_score(mine, score)) if both else None,
            predictive_values=[_predictive_value(found, left, share) for share in PREVALENCES],
        )
    return figures


def predictive_value(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    """Return the positive predictive value (Bayes' rule); None when no answer is positive."""
    positive = sensitivity * prevalence + (1 - specificity) * (1 - prevalence)
    return sensitivity * prevalence / positive if positive else None


def no_tumour_class(class_names: Sequence[str]) -> int | None:
    """Return the index of the class that stands for no tumour, by its name."""
    plain = [re.sub("[^a-z]", "", name.lower()) for name in class_names]
    return next((number for number, name in enumerate(plain) if name in _NO_TUMOUR), None)


def tumour_figures(evaluation: Evaluation) -> TumourFigures | None:
    """Compute the figures of any tumour against none; None without scans of both."""
    none = no_tumour_class(evaluation.class_names)
    if none is None:
        return None
    tumour = evaluation.labels != none
    if tumour.all() or not tumour.any():
        return None
    score = 1 - evaluation.probabilities[:, none].astype(np.float64)
    false_positives, sensitivities, _ = metrics.roc_curve(tumour, score)
    # A hair above, since 1 - 0.9 is a hair below 0.1.
    allowed = false_positives <= 1 - SPECIFICITY + 1e-9
    return TumourFigures(
        no_tumour_class=evaluation.class_names[none],
        roc_auc=float(metrics.roc_auc_score(tumour, score)),
        specificity=SPECIFICITY,
        sensitivity=float(sensitivities[allowed].max()),
    )


def _estimate(
    evaluation: Evaluation, rows: NDArray[np.bool_], value: float, draws: NDArray[np.float64]
) -> Estimate | None:
    if not rows.any():
        return None
    return estimate_share(float(value), draws, group_count(evaluation.groups[rows]))


def _predictive_value(
    sensitivity: Estimate | None, specificity: Estimate | None, prevalence: float
) -> PredictiveValue:
    if sensitivity is None or specificity is None:
        return PredictiveValue(prevalence, None, None)
    value = predictive_value(sensitivity.value, specificity.value, prevalence)
    found, left = sensitivity.confidence_interval, specificity.confidence_interval
    if value is None or found is None or left is None:
        return PredictiveValue(prevalence, value, None)
    return PredictiveValue(prevalence, value, predictive_value(found.lower, left.lower, prevalence))


def _ratio(hits: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(hits, total, out=shares, where=total > 0)
    return shares


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
