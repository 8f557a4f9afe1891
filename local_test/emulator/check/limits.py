"""How long a check may take: a rule that hangs must not keep the others from being tested."""

import time
from dataclasses import dataclass, field

from local_test.emulator.check.rule import NotTestedError


@dataclass
class Limits:
    """Seconds for all, and for its parts; the defaults are the platform's where it has them.

    Attributes:
        total: For the whole check.
        job: For one training job.
        grace: From SIGTERM to SIGKILL in training.
        healthy: Until `serve` must be healthy.
        serve_grace: From SIGTERM to SIGKILL in serving.
        unhealthy: For a server that should not become healthy, or may not.
        answer: For one answer of /invocations.
        shortest: Kept for the end; where no more than this is left besides, nothing is begun.
        shortest_job: A job that is to be stopped, or interrupted, runs at least this long before.
        load: How long requests are sent to see whether /ping is answered beside them.
        ran_out: Whether the whole was too short for a rule.
    """

    total: float = 600.0
    job: float = 240.0
    grace: float = 120.0
    healthy: float = 480.0
    serve_grace: float = 30.0
    unhealthy: float = 20.0
    answer: float = 60.0
    shortest: float = 5.0
    shortest_job: float = 2.0
    load: float = 1.5
    ran_out: bool = field(default=False, init=False)
    _start: float = field(default_factory=time.monotonic)

    @property
    def gone(self) -> float:
        """How many seconds have passed."""
        return time.monotonic() - self._start

    def within(self, seconds: float) -> float:
        """Return the seconds, or what is left of the whole.

        Who gets less, and sees it pass, raises `over`: with the whole limit it may have held.

        Raises:
            NotTestedError: Nothing is left.
        """
        left = self.total - self.gone - self.shortest
        if left < self.shortest:
            raise self.over()
        return min(seconds, left)

    def require(self, seconds: float) -> None:
        """Refuse to begin what may take more than is left.

        Raises:
            NotTestedError: Less is left.
        """
        if self.within(seconds) < seconds:
            raise self.over()

    def over(self, seen: str = "") -> NotTestedError:
        """Return what to raise where the time was too short; it may say what was seen in it."""
        self.ran_out = True
        told = (
            f"the check's {self.total:g} s had passed; --only tests it alone, --time-limit gives "
            "more"
        )
        return NotTestedError(f"{told}. Until then: {seen}" if seen else told)
