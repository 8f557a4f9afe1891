"""Temperature scaling: one number that makes probabilities mean what they say."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_RANGE = (0.2, 5.0)


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Find the temperature T that minimises the log loss of softmax(logits / T).

    Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv 1706.04599). T is searched
    within 0.2-5: a handful of validation scans that are all right would drive it to 0.

    Args:
        logits: (n, classes) on scans that were not trained on.
        labels: (n,) class indices.
    """
    rows = np.arange(len(labels))

    def log_loss(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[rows, labels].mean())

    return float(minimize_scalar(log_loss, bounds=_RANGE, method="bounded").x)
