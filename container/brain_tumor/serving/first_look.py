"""Fast arithmetic where it is sure, exact arithmetic where it is not."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from brain_tumor.artifact import Scores, ScoresFn
from brain_tumor.serving.agreement import FOREIGN_MARGIN, SURELY_CLEAR, log_odds

_NEAR = 0.1
"""How far from the threshold of `confident` log-odds must be: twice what clear scans are off by in
8 bits (the median). Many scans lie there, so more would cost much (docs/serving.md)."""


def exact_where_doubtful(
    fast: ScoresFn, exact: ScoresFn, thresholds: Mapping[str, float]
) -> ScoresFn:
    """Score by `fast`, and by `exact` where an error of `fast` may well change what is answered.

    That is: what is not surely clear, for an error of the logits moves a probability by p (1 - p)
    times as much, and `exact` looks at what is not clear twice; what may be foreign; what is near
    the threshold between `confident` and `uncertain`; and what is not a number.

    Args:
        fast: the first look.
        exact: both looks.
        thresholds: those of the model, `confident` and `foreign`, each of which may be absent.
    """
    confident = log_odds(thresholds.get("confident", 0.0))
    not_foreign = thresholds.get("foreign", np.inf) - FOREIGN_MARGIN

    def scores(pixels: NDArray[np.uint8]) -> Scores:
        first = fast(pixels)
        best = first.probabilities.max(axis=1)
        sure = (best >= SURELY_CLEAR) & (first.foreign <= not_foreign)
        sure &= np.abs(log_odds(best) - confident) >= _NEAR
        # One at a time: each further shape would cost time and memory.
        for row in np.flatnonzero(~sure):
            second = exact(pixels[row : row + 1])
            first.probabilities[row], first.foreign[row] = (
                second.probabilities[0],
                second.foreign[0],
            )
        return first

    return scores
