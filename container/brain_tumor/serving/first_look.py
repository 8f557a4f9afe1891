"""Fast arithmetic where it is sure, exact arithmetic where it is not."""

import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from brain_tumor.artifact import Check
from brain_tumor.errors import SettingsError
from brain_tumor.scoring import Scores, ScoresFn
from brain_tumor.serving.agreement import (
    FOREIGN_MARGIN,
    SURELY_CLEAR,
    log_odds,
    measure_first_look,
)
from brain_tumor.settings import Precision

log = logging.getLogger(__name__)

_NEAR = 0.1
"""How far from the threshold of `confident` log-odds must be: twice what clear scans are off by in
8 bits (the median). Many scans lie there, so more would cost much (docs/serving.md)."""


FirstLook = Callable[[], tuple[ScoresFn | None, str]]
"""Compiles a first look; None, and why, where model or processor lack it."""


def fastest(
    precision: Precision, looks: Mapping[str, FirstLook], check: Check | None
) -> tuple[ScoresFn | None, str, str]:
    """Find the fastest first look that holds the model's check.

    Args:
        precision: the one that is asked for, or `auto`.
        looks: those of an engine by precision, the faster first.
        check: the model's.

    Returns:
        The first look, its precision, and why. None where all is to be computed in float32.

    Raises:
        SettingsError: the one that is asked for cannot be had.
    """
    reasons = ["float32 asked for"] if precision == "float32" else []
    for name in looks if precision == "auto" else {precision} & set(looks):
        fast, why = _checked(name, looks[name], check, asked_for=precision == name)
        reasons.append(f"{name}: {why}")
        if fast:
            return fast, name, "; ".join(reasons)
    if precision not in ("auto", "float32"):
        why = reasons[0] if reasons else f"this engine has {', '.join(looks)} and float32"
        raise SettingsError(f"BRAIN_TUMOR_PRECISION={precision} cannot be had: {why}.")
    return None, "float32", "; ".join(reasons)


def _checked(
    name: str, compile_look: FirstLook, check: Check | None, asked_for: bool
) -> tuple[ScoresFn | None, str]:
    """Compile a first look, and say how it was checked; None, and why, where it is not to be used.

    One that is asked for is used however the check ends. The reasons are few and fixed, for they
    are a label in /metrics, where each text begins a series of its own; the log has the figures.
    """
    recorded = check and check.first_look
    if not (recorded or asked_for):
        return None, "no check of it is recorded with the model"
    fast, lack = compile_look()
    if fast is None or check is None or recorded is None:
        return fast, lack or "asked for, not checked: none is recorded with the model"
    found = measure_first_look(fast, check.images, recorded)
    log.info("First look in %s against the model's check: %s", name, found)
    if found.holds:
        return fast, "holds the model's check"
    return fast if asked_for else None, "does not hold the model's check"


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
