"""Whether probabilities mean what they say: temperature scaling, and the error that remains."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from brain_tumor.training.bootstrap import Weights, once_each

CALIBRATION_BINS = 15
"""Of equal width, over the highest probability."""
_RANGE = (0.05, 20.0)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Find the temperature T that minimises the log loss of softmax(logits / T).

    Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599). The targets are
    smoothed as in Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.2:
    one scan more than were seen could be wrong. Without it, a handful of validation scans that are
    all right would make every later answer certain.

    Args:
        logits: (n, classes) on scans that were not trained on.
        labels: (n,) class indices.
    """
    count, classes = logits.shape
    doubt = 1 / (count + 2)
    targets = np.full((count, classes), doubt / (classes - 1))
    targets[np.arange(count), labels] = 1 - doubt

    def log_loss(log_temperature: float) -> float:
        log_probabilities = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-(targets * log_probabilities).sum(axis=1).mean())

    low, high = np.log(_RANGE)
    return float(np.exp(minimize_scalar(log_loss, bounds=(low, high), method="bounded").x))


def calibration_error(
    correct: NDArray[np.bool_], confidence: NDArray[np.float64], weights: Weights | None = None
) -> NDArray[np.float64]:
    """Return the expected calibration error: mean gap of confidence and accuracy, 0-1.

    Guo et al. 2017, "On Calibration of Modern Neural Networks": 15 bins of equal width over the
    highest probability, weighted by their scans. The bins are those of scikit-learn's
    `calibration_curve`.

    Args:
        correct: (n,).
        confidence: (n,).
        weights: (resamples, n) how often each scan counts; once each when left out.

    Returns:
        (resamples,).
    """
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    in_bin = np.eye(CALIBRATION_BINS)[np.searchsorted(edges[1:-1], confidence)]
    counts = once_each(len(correct)) if weights is None else weights
    # |sum of confidence - sum of right answers| in a bin is its gap times its scans.
    gaps: NDArray[np.float64] = np.abs(counts @ (in_bin * (confidence - correct)[:, np.newaxis]))
    errors: NDArray[np.float64] = gaps.sum(axis=1) / counts.sum(axis=1)
    return errors
