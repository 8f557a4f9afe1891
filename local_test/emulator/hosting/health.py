"""Health checks as the platform makes them, with a sentence for each way to fail them."""

import collections
import time
from dataclasses import dataclass
from typing import Protocol

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.exchange import Address, NoReplyError, exchange

# A single 200 may be luck: it has to answer consistently.
_IN_A_ROW = 2


@dataclass(frozen=True)
class HealthLimits:
    """The platform's own limits, in seconds; the interval is shorter than its 5 s."""

    ping: float = 2.0
    healthy: float = 480.0
    interval: float = 0.5


@dataclass(frozen=True)
class Ping:
    """One health check: the status and the body's length, or why there was no answer in time."""

    status: int | None
    seconds: float
    length: int = 0
    error: str = ""

    @property
    def healthy(self) -> bool:
        """Whether the platform takes it as healthy: 200, in time."""
        return self.status == 200

    @property
    def seen(self) -> str:
        """What was seen, in words."""
        return self.error or f"status {self.status}"


class Pinged(Protocol):
    """What can be asked for its health."""

    name: str

    def address(self) -> Address | None:
        """Where it listens, or None before it has an address."""

    def ended(self) -> int | None:
        """Its exit code, or None while it runs."""

    def log(self) -> str:
        """The last lines that it printed."""


class NotHealthyError(EmulatorError):
    """A server did not pass the health check; the text says what was seen and what it printed."""

    def __init__(self, message: str, pings: list[Ping]) -> None:
        super().__init__(message)
        self.pings = pings


def ping(address: Address, limits: HealthLimits) -> Ping:
    """Ask once."""
    start = time.monotonic()
    try:
        reply = exchange(address, "GET", "/ping", seconds=limits.ping)
    except NoReplyError as error:
        return Ping(None, time.monotonic() - start, error=str(error))
    return Ping(reply.status, reply.seconds, len(reply.body))


def wait_until_healthy(server: Pinged, limits: HealthLimits) -> list[Ping]:
    """Ask until it answers 200 consistently; return all that was seen.

    Raises:
        NotHealthyError: It does not within the limit, or it ends.
    """
    pings: list[Ping] = []
    start = time.monotonic()
    while time.monotonic() - start < limits.healthy:
        # Asked before the ping: what ended after it may have been healthy.
        code = server.ended()
        if code is not None:
            raise _failed(server, f"It ended with exit code {code}", pings, start)
        if address := server.address():
            pings.append(ping(address, limits))
            if len(pings) >= _IN_A_ROW and all(p.healthy for p in pings[-_IN_A_ROW:]):
                return pings
        time.sleep(limits.interval)
    raise _failed(server, "It was not healthy", pings, start)


def _failed(server: Pinged, what: str, pings: list[Ping], start: float) -> NotHealthyError:
    seconds = time.monotonic() - start
    counts = collections.Counter(ping.seen for ping in pings)
    seen = "; ".join(f"{count} times {words}" for words, count in counts.items())
    return NotHealthyError(
        f"{server.name} did not pass the ping health check. {what} after {seconds:.1f} s "
        f"(GET /ping: {seen or 'never asked'}). Its last lines:\n{server.log() or '(none)'}",
        pings,
    )
