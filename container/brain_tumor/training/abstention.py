"""Answering `uncertain`: the threshold, and how accuracy grows as unsure scans are left out."""

import numpy as np
from numpy.typing import NDArray

from brain_tumor.training.bootstrap import Weights, once_each

VALIDATION_COVERAGE = 0.8
"""Share of the validation scans that is answered `confident`."""


def choose_threshold(probabilities: NDArray[np.float32]) -> float:
    """Return the highest threshold at which 80 % of the validation scans stay `confident`.

    The share is fixed, not the accuracy of what remains: at 95 % accuracy 500 validation scans hold
    25 errors, and a threshold "right in 99 % of the validation scans above it" would hang on four
    or five of them. This one uses no label, so that it cannot fit itself to them.

    Args:
        probabilities: (n, classes) on the validation scans, calibrated.
    """
    confidence = probabilities.max(axis=1)
    return float(np.quantile(confidence, 1 - VALIDATION_COVERAGE, method="lower"))


def most_confident_first(
    correct: NDArray[np.bool_], confidence: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the rows (n,) by falling confidence; of equally confident ones the wrong come first.

    Otherwise a model that is equally sure of everything would be ranked by the order of the files.
    """
    order: NDArray[np.int64] = np.lexsort((correct, -confidence))
    return order


def risk_coverage(
    correct: NDArray[np.bool_], confidence: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coverage (n,) and the share of errors (n,) among the 1, 2, ... n most confident.

    The mean of the second is the area under the risk-coverage curve, AURC (Geifman, Uziel and
    El-Yaniv 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers").
    """
    answered = np.arange(1, len(correct) + 1)
    wrong = ~correct[most_confident_first(correct, confidence)]
    return answered / len(correct), wrong.cumsum() / answered


def accuracy_at_coverage(
    correct: NDArray[np.bool_],
    confidence: NDArray[np.float64],
    coverage: float,
    weights: Weights | None = None,
) -> NDArray[np.float64]:
    """Return the accuracy of the most confident share of the scans.

    Args:
        correct: (n,).
        confidence: (n,).
        coverage: the share, above 0 and at most 1; the scan on its border counts in part.
        weights: (resamples, n) how often each scan counts; once each when left out.

    Returns:
        (resamples,).
    """
    order = most_confident_first(correct, confidence)
    counts = once_each(len(correct)) if weights is None else weights[:, order]
    reached = counts.cumsum(axis=1)
    wanted = coverage * reached[:, -1:]
    taken = np.clip(wanted - (reached - counts), 0, counts)
    shares: NDArray[np.float64] = (taken @ correct[order]) / wanted[:, 0]
    return shares
