"""Whether an engine answers the model's own check as TensorFlow did when the model was saved."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.artifact import CLEAR, Check
from brain_tumor.errors import ArtifactError
from brain_tumor.scoring import HeatMapsFn, Scores, ScoresFn, without_foreign

FLOAT32_BOUND = 1e-3
"""How far a probability may be from the recorded one, where arithmetic is exact."""
SURELY_CLEAR = 0.95
"""What a first look in fast arithmetic finds at least so probable is taken to be clear."""
LOG_ODDS_BOUND = math.log(SURELY_CLEAR / (1 - SURELY_CLEAR)) - math.log(CLEAR / (1 - CLEAR))
"""How far log-odds may be off where a scan that seems surely clear must be clear: 0.75."""
FOREIGN_MARGIN = 1.0
"""How far fast arithmetic may lower the foreign score. Rounding reads as noise and raises it."""


def log_odds(probabilities: Any) -> NDArray[np.float64]:
    """Give ln(p / (1 - p)), of 0 and 1 too: they count as 1e-7 from there."""
    p = np.clip(np.asarray(probabilities, np.float64), 1e-7, 1 - 1e-7)
    odds: NDArray[np.float64] = np.log(p / (1 - p))
    return odds


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


def require_heat_maps(heat_maps: HeatMapsFn, check: Check | None, engine: str) -> None:
    """Make sure that heat maps are of the recorded first look: their probabilities tell.

    Raises:
        ArtifactError: they are not.
    """
    if check is not None and check.first_look is not None:
        first_look = Check(check.images, check.first_look.probabilities)
        given = without_foreign(lambda images: heat_maps(images).probabilities)
        require(given, first_look, engine)


@dataclass(frozen=True)
class FirstLookAgreement:
    """How far a first look in fast arithmetic is from the recorded one."""

    images: int
    log_odds: float
    """How far those of the most probable class are off: the median over the images.

    Log-odds, and no maximum, since most images of a check are means of many scans, far from clear:
    there errors are larger, and harmless, for what is not clear is computed again.
    """
    foreign: float
    """By how much the foreign score fell at most."""

    @property
    def holds(self) -> bool:
        """Whether such a first look may serve; one that gives a NaN may not."""
        return self.log_odds <= LOG_ODDS_BOUND and self.foreign <= FOREIGN_MARGIN

    def __str__(self) -> str:
        return (
            f"log-odds off by {self.log_odds:.2f} (median of {self.images} images, "
            f"{LOG_ODDS_BOUND:.2f} allowed), foreign score lower by {self.foreign:.2f} at most "
            f"({FOREIGN_MARGIN:g} allowed)"
        )


def measure_first_look(
    fast: ScoresFn, images: NDArray[np.uint8], recorded: Scores
) -> FirstLookAgreement:
    """Score the images of a check, (n, size, size), and compare with the recorded first look."""
    given = _one_by_one(fast, images)
    best = recorded.probabilities.argmax(axis=1)[:, np.newaxis]
    wanted, found = (
        log_odds(np.take_along_axis(scores.probabilities, best, axis=1))
        for scores in (recorded, given)
    )
    fell = np.max(recorded.foreign - given.foreign, initial=0)
    return FirstLookAgreement(len(images), float(np.median(np.abs(found - wanted))), float(fell))


def _one_by_one(scores: ScoresFn, images: NDArray[np.uint8]) -> Scores:
    # The one shape that every engine has to prepare anyway.
    each = [scores(image[np.newaxis]) for image in images]
    return Scores(*map(np.concatenate, zip(*each, strict=True)))


def measure(scores: ScoresFn, check: Check) -> Agreement:
    """Score the images of a check and compare with what was recorded."""
    probabilities = _one_by_one(scores, check.images).probabilities
    labels = probabilities.argmax(axis=1) != check.probabilities.argmax(axis=1)
    difference = np.abs(probabilities - check.probabilities).max()
    return Agreement(len(check.images), int(labels.sum()), float(difference))
