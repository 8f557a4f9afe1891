"""How long a check may take: a rule that hangs must not keep the others from being tested."""

import time
from dataclasses import dataclass, field

from local_test.emulator.check.rule import NotTestedError

# Less than this is not worth a start.
_SHORTEST = 5.0


@dataclass(frozen=True)
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
    """

    total: float = 600.0
    job: float = 240.0
    grace: float = 120.0
    healthy: float = 480.0
    serve_grace: float = 30.0
    unhealthy: float = 20.0
    answer: float = 60.0
    _start: float = field(default_factory=time.monotonic)

    def within(self, seconds: float) -> float:
        """Return the seconds, or what is left of the whole.

        Raises:
            NotTestedError: Nothing is left.
        """
        left = self._start + self.total - time.monotonic()
        if left < _SHORTEST:
            raise NotTestedError(
                f"the check's {self.total:g} s had passed; --only tests it alone, --time-limit "
                "gives more"
            )
        return min(seconds, left)
