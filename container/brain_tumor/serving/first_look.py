"""Fast arithmetic where it is sure, exact arithmetic where it is not."""

import math

import numpy as np
from numpy.typing import NDArray

from brain_tumor import artifact
from brain_tumor.serving import agreement

_FOREIGN_MARGIN = 1.0
"""Rounding raises the foreign score, for it reads as noise; it lowered it by at most 0.6 in 573
scans and drawn pictures (docs/serving.md)."""


def exact_where_doubtful(
    fast: artifact.ScoresFn, exact: artifact.ScoresFn, foreign_threshold: float = math.inf
) -> artifact.ScoresFn:
    """Score by `fast`, and by `exact` what is not surely clear, or may not be a brain MRI.

    An error of the logits moves a probability by p (1 - p) times as much: most where classes are
    about as probable, which is where it could change the label too. And what is not clear to
    `exact` is looked at twice.

    Args:
        fast: the first look, whose log-odds may be off by `agreement.FIRST_LOOK_BOUND`.
        exact: both looks.
        foreign_threshold: the score above which a picture is refused as no brain MRI.
    """
    maybe_foreign = foreign_threshold - _FOREIGN_MARGIN

    def scores(pixels: NDArray[np.uint8]) -> artifact.Scores:
        first = fast(pixels)
        unclear = first.probabilities.max(axis=1) < agreement.SURELY_CLEAR
        # One at a time: each further shape would cost time and memory.
        for row in np.flatnonzero(unclear | (first.foreign > maybe_foreign)):
            second = exact(pixels[row : row + 1])
            first.probabilities[row], first.foreign[row] = (
                second.probabilities[0],
                second.foreign[0],
            )
        return first

    return scores
