"""Whether an engine answers the model's own check as TensorFlow did when the model was saved."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.artifact import CLEAR, Check, ScoresFn
from brain_tumor.errors import ArtifactError

FLOAT32_BOUND = 1e-3
"""How far a probability may be from the recorded one, where arithmetic is exact."""
SURELY_CLEAR = 0.95
"""What a first look in fast arithmetic finds at least so probable is taken to be clear."""


def _log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    odds: NDArray[np.float64] = np.log(p / (1 - p))
    return odds


FIRST_LOOK_BOUND = float(np.subtract(*_log_odds(np.array([SURELY_CLEAR, CLEAR], np.float32))))
"""How far a first look's log-odds may be off: 0.75, then what it finds surely clear is clear."""


@dataclass(frozen=True)
class Agreement:
    """How far an engine is from the recorded answers."""

    images: int
    labels_differ: int
    largest: float
    """The largest difference of a probability."""

    def holds(self, bound: float) -> bool:
        """Whether no probability is further off than `bound`; a NaN is."""
        return self.largest <= bound

    def __str__(self) -> str:
        return (
            f"{self.labels_differ} of {self.images} labels differ, probabilities by at most "
            f"{self.largest:.2g}"
        )


def require(scores: ScoresFn, check: Check | None, engine: str) -> None:
    """Make sure that an engine that computes in float32 gives the recorded answers.

    Raises:
        ArtifactError: it does not.
    """
    if check is None:
        return
    found = measure(scores, check)
    if not found.holds(FLOAT32_BOUND):
        raise ArtifactError(
            f"{engine} answers the model's check otherwise than TensorFlow did when the model was "
            f"saved: {found}. Usual cause: a graph and a check.npz of two models."
        )


def first_look_error(fast: ScoresFn, check: Check) -> float:
    """Say how far the log-odds of the most probable class are off in fast arithmetic.

    Log-odds, since most images of a check are means of many scans, and not clear: their
    probabilities move far by an error that would not move those of a clear scan.

    Returns:
        The median over the images; NaN where there is one. Infinity without a recorded first look.
    """
    if check.first_look is None:
        return float("inf")
    given = np.concatenate([fast(image[np.newaxis]).probabilities for image in check.images])
    errors = np.abs(_log_odds(given) - _log_odds(check.first_look))
    best = check.first_look.argmax(axis=1)
    return float(np.median(errors[np.arange(len(best)), best]))


def measure(scores: ScoresFn, check: Check) -> Agreement:
    """Score the images of a check and compare with what was recorded."""
    # One at a time: the one shape that every engine has to prepare anyway.
    each = [scores(image[np.newaxis]).probabilities for image in check.images]
    probabilities = np.concatenate(each)
    labels = probabilities.argmax(axis=1) != check.probabilities.argmax(axis=1)
    difference = np.abs(probabilities - check.probabilities).max()
    return Agreement(len(check.images), int(labels.sum()), float(difference))
