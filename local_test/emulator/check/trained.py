"""A training job that has ended, and what was seen of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_test.emulator.check.witness import Seen
from local_test.emulator.record import Record

_KILLED = 137


@dataclass(frozen=True)
class Trained:
    """A job that has ended, and what was seen of each attempt, host by host."""

    record: Record
    attempts: Sequence[Seen]
    folder: Path

    @property
    def code(self) -> int:
        """The exit code of the last attempt's first host."""
        return next(iter(self.record.codes[-1].values()))

    @property
    def timed_out(self) -> bool:
        """Whether it had to be stopped at its time limit, whatever it answered then."""
        return self.record.secondary_status == "MaxRuntimeExceeded"

    @property
    def killed(self) -> bool:
        """Whether SIGTERM was not enough to stop it."""
        return self.record.status == "Stopped" and _KILLED in self.record.codes[-1].values()

    @property
    def ended_well(self) -> bool:
        """Whether it ended of its own, with exit code 0."""
        return self.code == 0 and not self.timed_out

    @property
    def last(self) -> Seen:
        """What was seen of the last attempt."""
        return self.attempts[-1]

    def story(self) -> str:
        """Say how it ended."""
        reason = f": {self.record.failure[:300]!r}" if self.record.failure else ""
        ended = f"{self.record.secondary_status}, exit code {self.code}{reason}"
        return f"{ended}; last line: {self.last.last_line()!r}"
