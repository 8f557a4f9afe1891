"""What a training has done so far: the loops that ended, and where the one under way stands."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from brain_tumor.training.metrics import Epoch, Fit
from brain_tumor.training.precision import Precision
from brain_tumor.training.schedule import Position

Weights = list[NDArray[np.float32]]


@dataclass(frozen=True)
class LoopState:
    """A training loop between two steps: all that it needs to go on as if nothing had happened."""

    epochs: list[Epoch]
    """Those that are over."""
    best: Epoch | None
    position: Position
    arrays: dict[str, Weights]
    """Those of `Trainer.state`, and `best`: the averaged weights of the best epoch."""


@dataclass(frozen=True)
class Past:
    """A training between two steps: what a checkpoint holds."""

    seconds: float = 0.0
    """That training took, in all runs of the job."""
    finished: list[tuple[Fit, Weights]] = field(default_factory=list)
    """The loops that ended, and the weights that each of them kept."""
    loop: LoopState | None = None
    """The loop under way, which may have no step left to take."""
    precision: Precision | None = None
    """How the steps were computed; None: none was taken."""


class Record:
    """Where a training loop notes how far it is, so that a job that was killed goes on from there.

    Loops run one after the other. A training that goes on calls them all again: those that are
    `finished` are left out, the one under way is handed its state by `take_up`.
    """

    def __init__(
        self,
        past: Past | None = None,
        write: Callable[[Past], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Begin anew or with what a checkpoint holds.

        Args:
            past: what former runs of the job did.
            write: called with what there is after each epoch; None: nothing is kept, as where
                there is no folder of checkpoints, or on a host that is not to write there.
            clock: seconds, the same on all hosts; None: this host's own.
        """
        past = past or Past()
        self.finished = list(past.finished)
        self._loop = past.loop
        self._write = write
        self.seconds_before = past.seconds
        self.precision = past.precision
        """How steps are computed: as those before were."""
        # Looked up late: a test may exchange it.
        self._now = clock or (lambda: time.monotonic())
        self._begin = self._now() - past.seconds

    def clock(self) -> float:
        """Give the seconds that training took so far, in all runs of the job."""
        return self._now() - self._begin

    @property
    def is_inside_a_loop(self) -> bool:
        """Whether there is a loop under way that was not taken up yet."""
        return self._loop is not None

    @property
    def step(self) -> int:
        """Steps that the loop under way has taken already."""
        return self._loop.position.step if self._loop else 0

    @property
    def all_steps(self) -> int:
        """Steps of all loops so far, each of which took a batch."""
        return sum(fitted.steps for fitted, _ in self.finished) + self.step

    def take_up(self) -> LoopState | None:
        """Give the state of the loop under way, once; None: it begins now."""
        loop, self._loop = self._loop, None
        return loop

    def keep(self, state: Callable[[], LoopState]) -> None:
        """Write down where the loop under way stands."""
        # On every host: all look at a common clock equally often.
        seconds = self.clock()
        if self._write:
            self._write(Past(seconds, self.finished, state(), self.precision))

    def finish(self, fitted: Fit, weights: Weights) -> None:
        """Note that a loop ended, for those that come after it."""
        self.finished.append((fitted, weights))
