"""A started `serve`: its address, its log, its health, and how it ends."""

import collections
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.exchange import Address
from local_test.emulator.hosting.health import HealthLimits, Ping, ping, wait_until_healthy
from local_test.emulator.running import Running

_KEPT_LINES = 20
GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Stopped:
    """How a server ended after SIGTERM."""

    code: int
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether SIGKILL was needed (or something else killed it)."""
        return self.code == 137


class Server:
    """One container, or a command in its place, that runs `serve`; it ends with the block.

    Args:
        name: What it is called in messages.
        running: It, not yet started.
        find_address: Where it listens; None while that is not known.
        ml: Where its /opt/ml is, as it sees it.
        limits: What a health check may take.
        on_line: Called with each line of its log, in another thread.
        grace: Seconds from SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        name: str,
        running: Running,
        find_address: Callable[[], Address | None],
        *,
        ml: str = "/opt/ml",
        limits: HealthLimits | None = None,
        on_line: Callable[[str], None] = lambda _line: None,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self.name = name
        self.ml = ml
        self.limits = limits or HealthLimits()
        self._running = running
        self._find_address = find_address
        self._on_line = on_line
        self._grace = grace
        self._address: Address | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._code: int | None = None
        self._given_up: EmulatorError | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.pings: list[Ping] = []

    def __enter__(self) -> Self:
        """Start it and wait until it is healthy.

        Raises:
            NotHealthyError: It does not become healthy; it is removed.
        """
        try:
            self.start()
            self.pings = wait_until_healthy(self, self.limits)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self.remove()

    def start(self) -> None:
        """Start it, without waiting for its health."""
        self._running.start()
        self._thread.start()

    def _watch(self) -> None:
        try:
            for line in self._running.lines():
                self._lines.append(line)
                self._on_line(line)
            self._code = self._running.wait()
        except Exception as error:
            # An engine that went away: nobody must wait for ever.
            self._given_up = EmulatorError(f"{self.name} can no longer be watched: {error!r}")

    def address(self) -> Address | None:
        """Where it listens, or None before that is known."""
        self._address = self._address or self._find_address()
        return self._address

    def ping(self) -> Ping:
        """Ask for its health once."""
        address = self.address()
        return ping(address, self.limits) if address else Ping(None, 0, error="not started")

    def pid(self) -> int | None:
        """Return the number of its first process, while it runs; None where that is not known."""
        return self._running.pid()

    def ended(self) -> int | None:
        """Return its exit code, or None while it runs.

        Raises:
            EmulatorError: That can no longer be known, or was given up to wait for.
        """
        if self._given_up:
            raise self._given_up
        return self._code

    def give_up(self) -> None:
        """Make who waits for its health wait no longer: an EmulatorError there."""
        self._given_up = EmulatorError(f"{self.name} is no longer waited for.")

    def log(self) -> str:
        """Return the last lines that it printed."""
        return "\n".join(self._lines)

    def stop(self, grace: float | None = None) -> Stopped:
        """Send SIGTERM, and SIGKILL after the grace, or after other seconds; say how it ended."""
        start = time.monotonic()
        self._running.stop(self._grace if grace is None else grace)
        code = self._running.wait()
        # It may never have been started.
        if self._thread.is_alive():
            self._thread.join()
        return Stopped(code, time.monotonic() - start)

    def remove(self) -> None:
        """Leave nothing of it."""
        self._running.remove()
