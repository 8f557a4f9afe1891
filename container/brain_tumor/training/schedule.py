"""Learning rate and time: how far a run has come, and how large its steps are."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_WARM_UP = 0.05
# Of 28 minutes these are 4 and 1; on two cores evaluation and export take less than 2.
_EVALUATION_SHARE, _EXPORT_SHARE = 0.15, 0.04


class Deadline:
    """The end of a job's time budget, and how much of it is kept for what follows training."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def left(self) -> float:
        """Seconds until the end; negative once it is over."""
        return self._end - self._clock()

    def for_training(self) -> float:
        """Seconds that training may take, so that evaluation and export still fit."""
        return max(0.0, self.left() - _EVALUATION_SHARE * self._seconds)

    def is_near(self) -> bool:
        """Whether only the export should still be begun."""
        return self.left() < _EXPORT_SHARE * self._seconds


@dataclass(frozen=True)
class Schedule:
    """How long a run may last and how large its steps are."""

    epochs: int
    steps_per_epoch: int
    peak_rate: float
    patience: int
    """Epochs without a better validation loss before training stops."""
    seconds: float | None = None
    """Time for all epochs; None: no limit."""


class Progress:
    """How far a run has come, from 0 to 1, by epochs or by its time budget, whichever is more."""

    def __init__(
        self,
        total_steps: int,
        budget_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total_steps = total_steps
        self._budget = budget_seconds
        self._clock = clock
        self._start = clock()
        self.step = 0

    def seconds(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self._start

    def fraction(self) -> float:
        """The share of the run that is over."""
        by_time = self.seconds() / self._budget if self._budget else 0.0
        return min(1.0, max(self.step / self.total_steps, by_time))


def learning_rate_at(fraction: float, peak: float) -> float:
    """Rise linearly over the first 5 % of a run, then fall as half a cosine (arXiv 1608.03983).

    The last steps keep a hundredth of the peak.
    """
    if fraction < _WARM_UP:
        return peak * max(fraction / _WARM_UP, 0.01)
    cosine = 0.5 * (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP)))
    return peak * max(cosine, 0.01)
