"""A serverless endpoint: a small, locked container that is started when it is called."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.api_errors import ServiceUnavailableError, ThrottlingError
from local_test.emulator.hosting.endpoint import MB, Limits
from local_test.emulator.hosting.exchange import Opened
from local_test.emulator.hosting.health import Ping
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import Call, Single

MEMORY_SIZES = range(1024, 6144 + 1, 1024)
MAX_CONCURRENCY = 200
HEALTHY_SECONDS = 180.0
LIMITS = Limits(payload=4 * MB)
# As Lambda documents it for its functions; nothing tells it of serverless endpoints.
_MEMORY_MB_A_CPU = 1769
# An arbitrary one that no image has a name for.
_USER = "1017:1017"


@dataclass(frozen=True)
class ServerlessConfig:
    """ServerlessConfig of a variant.

    Raises:
        EmulatorError: The API would refuse it.
    """

    memory_mb: int = 2048
    concurrency: int = 5
    tmp_mb: int = 512
    user: str = _USER

    def __post_init__(self) -> None:
        if self.memory_mb not in MEMORY_SIZES:
            raise EmulatorError(f"MemorySizeInMB is one of {list(MEMORY_SIZES)}: {self.memory_mb}.")
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise EmulatorError(f"MaxConcurrency is 1 to {MAX_CONCURRENCY}: {self.concurrency}.")

    def options(self, cpus: int) -> dict[str, Any]:
        """Return docker-py's arguments: read-only but for /tmp, another user, no /dev/shm.

        Args:
            cpus: How many the engine has.
        """
        share = min(self.memory_mb / _MEMORY_MB_A_CPU, cpus)
        return {
            "read_only": True,
            "user": self.user,
            "tmpfs": {"/tmp": f"size={self.tmp_mb}m,mode=1777"},  # noqa: S108 - in the container
            # The only mode in which /dev/shm is not mounted.
            "ipc_mode": "none",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "nano_cpus": round(share * 1e9),
        }


class Serverless:
    """A container that is started by the first call, and ends when nobody calls.

    Args:
        make: Makes the container, not yet started.
        concurrency: How many calls at once are taken.
        idle: Seconds without a call after which the container ends; None keeps it.
        note: Called with each cold start, in words.
    """

    def __init__(
        self,
        make: Callable[[], Server],
        concurrency: int,
        *,
        idle: float | None = None,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._make = make
        self._concurrency = concurrency
        self._free = threading.BoundedSemaphore(concurrency)
        self._idle = idle
        self._note = note
        self._starting = threading.Lock()
        self._stack = ExitStack()
        self._server: Server | None = None
        # What is not healthy yet; the thread that starts it holds the lock meanwhile.
        self._coming: Server | None = None
        self._ended = False
        self._calls = 0
        self._timer: threading.Timer | None = None
        self.cold_starts: list[float] = []

    def __enter__(self) -> "Serverless":
        """Start once, as when the endpoint is made: what is not healthy then never serves."""
        self._warm()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        # Without it a cold start would be waited for, which takes up to three minutes.
        if coming := self._coming:
            coming.give_up()
        with self._starting:
            if self._timer:
                self._timer.cancel()
            self._server = None
            self._stack.close()

    @contextmanager
    def open(self, call: Call) -> Iterator[Opened]:
        """Send a call; a cold container is started first.

        Raises:
            ThrottlingError: As many calls as are taken at once are there.
            ServiceUnavailableError: The endpoint has ended.
        """
        if not self._free.acquire(blocking=False):
            raise ThrottlingError(
                f"Rate exceeded: MaxConcurrency of this endpoint is {self._concurrency}."
            )
        try:
            with self._starting:
                self._calls += 1
                server = self._warm()
            with Single(server).open(call) as answer:
                yield answer
        finally:
            self._free.release()
            with self._starting:
                self._calls -= 1
                self._cool_later()

    def ping(self) -> Ping:
        """Ask for its health; a cold one is started first."""
        with self._starting:
            return self._warm().ping()

    def cool(self) -> None:
        """End the container, so that the next call finds it cold; not while there are calls."""
        with self._starting:
            if not self._calls:
                self._server = None
                self._stack.close()

    def _warm(self) -> Server:
        if self._server and self._server.ended() is None:
            return self._server
        # One that has ended of its own.
        self._stack.close()
        if self._ended:
            raise ServiceUnavailableError("The endpoint has ended.")
        start = time.monotonic()
        self._coming = self._make()
        # The end looks at these two the other way round, so that one of both sees the other.
        if self._ended:
            self._coming.give_up()
        try:
            self._server = self._stack.enter_context(self._coming)
        finally:
            self._coming = None
        self.cold_starts.append(time.monotonic() - start)
        self._note(f"cold start: {self.cold_starts[-1]:.1f} s")
        return self._server

    def _cool_later(self) -> None:
        if self._idle is None or self._ended:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = threading.Timer(self._idle, self.cool)
        self._timer.daemon = True
        self._timer.start()
