"""Accuracy on corrupted scans, and the audit of shortcuts: what is left without the brain."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brain_tumor import scoring
from brain_tumor.training.bootstrap import Estimate, Weights, estimate, group_count, resample
from brain_tumor.training.corruptions import BLANKED, CORRUPTIONS, POSES, Corruption
from brain_tumor.training.evaluation import Evaluation

log = logging.getLogger(__name__)

MOST_SCANS = 500
KINDS: dict[str, dict[str, Corruption]] = {
    "corruption": CORRUPTIONS,
    "pose": POSES,
    "shortcut": BLANKED,
}
_SEED = 0
_BATCH = 64


@dataclass(frozen=True)
class Condition:
    """Accuracy under one condition, on the same scans as the clean accuracy."""

    kind: str
    """`corruption`, `pose` or `shortcut`."""
    name: str
    accuracy: float
    difference: Estimate
    """To the clean accuracy, -1 to 1."""


@dataclass(frozen=True)
class Robustness:
    """Accuracy under every condition, or why there is none."""

    scans: int = 0
    clean_accuracy: float = 0.0
    majority_share: float = 0.0
    """Accuracy of always naming the largest class."""
    conditions: list[Condition] = field(default_factory=list)
    skipped: str | None = None
    """The reason when not all conditions were measured."""


def measure_robustness(
    predict: scoring.PredictFn, evaluation: Evaluation, stop_asked: Callable[[], bool]
) -> Robustness:
    """Measure accuracy under every condition, on at most 500 of the headline's scans.

    Args:
        predict: the function that made the evaluation.
        evaluation: the scans, with the clean answers.
        stop_asked: asked before every condition; True leaves the rest out.
    """
    _, headline = evaluation.headline()
    chosen = headline.rows(stratified_rows(headline.labels, MOST_SCANS))
    conditions: list[Condition] = []
    skipped = None
    for kind, changes in KINDS.items():
        for name, change in changes.items():
            if stop_asked():
                skipped = "the job was asked to stop, or its time was used up"
                break
            conditions.append(_measure(predict, chosen, kind, name, change))
    if skipped:
        log.warning("Robustness: %d conditions measured, then %s", len(conditions), skipped)
    return Robustness(
        scans=len(chosen),
        clean_accuracy=chosen.accuracy,
        majority_share=float(np.bincount(chosen.labels).max() / len(chosen)),
        conditions=conditions,
        skipped=skipped,
    )


def stratified_rows(labels: NDArray[np.int32], most: int) -> NDArray[np.int64]:
    """Choose at most `most` rows at random, each class in its share; the same every time."""
    random = np.random.default_rng(_SEED)
    mixed = random.permutation(len(labels))
    # Each row's place within its class, as a share of the class: cutting by it cuts all alike.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = mixed[labels[mixed] == label]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.sort(np.argsort(place, kind="stable")[:most])


def _measure(
    predict: scoring.PredictFn, chosen: Evaluation, kind: str, name: str, change: Corruption
) -> Condition:
    answers = scoring.in_batches(lambda scans: predict(change(scans)), chosen.pixels, _BATCH)
    right = answers.argmax(axis=1) == chosen.labels
    change_of_each = right.astype(np.float64) - chosen.correct

    def mean(weights: Weights) -> NDArray[np.float64]:
        means: NDArray[np.float64] = (weights @ change_of_each) / weights.sum(axis=1)
        return means

    difference = estimate(
        float(change_of_each.mean()), resample(chosen.groups, mean), group_count(chosen.groups)
    )
    return Condition(kind, name, float(right.mean()), difference)
