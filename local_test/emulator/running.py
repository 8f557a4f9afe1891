"""What the emulator starts: a container, or a command here; the rest sees no difference."""

from collections.abc import Iterator
from typing import Protocol

from local_test.emulator.files import Tree

# What a shell answers for a command that is not there.
START_FAILED = 127


class Running(Protocol):
    """A program with an /opt/ml of its own. Every method may be called from any thread."""

    def start(self) -> None:
        """Start it; where that fails, `lines` gives the reason and `wait` gives START_FAILED."""

    def lines(self) -> Iterator[str]:
        """Give each line of stdout and stderr as it comes, until the program ends."""

    def wait(self) -> int:
        """Wait for its end and return the exit code: 128 + number for a signal."""

    def pid(self) -> int | None:
        """Return the number of its first process, while it runs; None where that is not known."""

    def stop(self, grace: float) -> None:
        """Send SIGTERM to its first process, and SIGKILL to all after this many seconds."""

    def kill(self) -> None:
        """Kill all its processes at once."""

    def read(self, path: str) -> Tree:
        """Read a file or folder below /opt/ml; an absent one is empty."""

    def remove(self) -> None:
        """Leave nothing of it; what still runs is killed."""
