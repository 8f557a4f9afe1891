"""Learning rate and time: how far a run has come, and how large its steps are."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

_WARM_UP = 0.05
# Of 28 minutes these are 4 and 1; evaluation and export of 405 scans took 1.6 to 2.2 on two cores.
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
    patience: int | None
    """Epochs without a better validation accuracy before training stops; None: it does not."""
    seconds: float | None = None
    """Time for all epochs; None: no limit."""
    first_epoch: int = 1
    """Number of the first epoch, where another loop ran before."""


class Progress:
    """How far a run has come, from 0 to 1, by steps or by its time budget, whichever is more.

    The clock begins at the end of the first step, which the building of the graph prolongs: a run
    that fits into its time has the same learning rates on a fast and on a busy machine.
    """

    def __init__(
        self,
        total_steps: int,
        budget_seconds: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total_steps = total_steps
        self.step = 0
        self._clock = clock
        self._begin = clock()
        self._end = None if budget_seconds is None else self._begin + budget_seconds

    def advance(self) -> None:
        """Note that a step was taken."""
        self.step += 1
        if self.step == 1:
            self._begin = self._clock()

    def fraction(self) -> float:
        """The share of the run that is over."""
        return min(1.0, max(self.step / self.total_steps, self._by_time()))

    def _by_time(self) -> float:
        if self._end is None or self.step == 0:
            return 0.0
        whole = self._end - self._begin
        return (self._clock() - self._begin) / whole if whole > 0 else 1.0


def learning_rate_at(fraction: float, peak: float) -> float:
    """Rise linearly over the first 5 % of a run, then fall as half a cosine (arXiv 1608.03983).

    The last steps keep a hundredth of the peak.
    """
    if fraction < _WARM_UP:
        return peak * max(fraction / _WARM_UP, 0.01)
    cosine = 0.5 * (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP)))
    return peak * max(cosine, 0.01)
