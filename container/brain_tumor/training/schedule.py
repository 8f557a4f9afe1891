"""Learning rate and time: how far a run has come, and how large its steps are."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

_WARM_UP = 0.05
# Of 28 minutes these are 4 and 1; evaluation and export of 405 scans took 1.6 to 2.2 on two cores.
_EVALUATION_SHARE, _EXPORT_SHARE = 0.15, 0.04


class Deadline:
    """The end of a job's time budget, and how much of it is kept for what follows training."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds

    def spend(self, seconds: float) -> None:
        """Count time that former runs of the same job used."""
        self._end -= seconds

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


@dataclass(frozen=True)
class Position:
    """How far a loop has come; times are those of its clock."""

    step: int
    start: float
    begin: float
    """The end of the first step."""
    seconds: float | None
    """Time for all steps, from `start`; None: no limit."""


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
        self._clock = clock
        start = clock()
        self.position = Position(0, start, start, budget_seconds)

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.position.step

    def advance(self) -> None:
        """Note that a step was taken."""
        step = self.step + 1
        begin = self._clock() if step == 1 else self.position.begin
        self.position = replace(self.position, step=step, begin=begin)

    def fraction(self) -> float:
        """The share of the run that is over."""
        return min(1.0, max(self.step / self.total_steps, self._by_time()))

    def _by_time(self) -> float:
        start, begin, seconds = self.position.start, self.position.begin, self.position.seconds
        if seconds is None or self.step == 0:
            return 0.0
        whole = start + seconds - begin
        return (self._clock() - begin) / whole if whole > 0 else 1.0


def learning_rate_at(fraction: float, peak: float) -> float:
    """Rise linearly over the first 5 % of a run, then fall as half a cosine (arXiv 1608.03983).

    The last steps keep a hundredth of the peak.
    """
    if fraction < _WARM_UP:
        return peak * max(fraction / _WARM_UP, 0.01)
    cosine = 0.5 * (1 + math.cos(math.pi * (fraction - _WARM_UP) / (1 - _WARM_UP)))
    return peak * max(cosine, 0.01)
