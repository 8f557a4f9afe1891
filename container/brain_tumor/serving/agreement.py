"""Whether an engine answers the model's own check as TensorFlow did when the model was saved."""

from dataclasses import dataclass

import numpy as np

from brain_tumor.artifact import Check, ScoresFn
from brain_tumor.errors import ArtifactError

FLOAT32_BOUND, FAST_BOUND = 1e-3, 0.05
"""How far a probability may be from the recorded one."""


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


def measure(scores: ScoresFn, check: Check) -> Agreement:
    """Score the images of a check and compare with what was recorded."""
    # One at a time: the one shape that every engine has to prepare anyway.
    each = [scores(image[np.newaxis]).probabilities for image in check.images]
    probabilities = np.concatenate(each)
    labels = probabilities.argmax(axis=1) != check.probabilities.argmax(axis=1)
    difference = np.abs(probabilities - check.probabilities).max()
    return Agreement(len(check.images), int(labels.sum()), float(difference))
