"""One attempt of a training job: all hosts from start to end, with what interrupts them."""

import enum
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local_test.emulator.running import Running

# By host: a line of its log, its exit code at the end, or why it can no longer be watched.
_Event = tuple[str, str | int | Exception]


class Cause(enum.Enum):
    """Why hosts were ended, by the secondary status that follows."""

    SPOT = "Interrupted"
    STOPPED = "Stopped"
    MAX_RUNTIME = "MaxRuntimeExceeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Attributes:
        codes: Exit code by host.
        cause: What ended them before their time, if anything did.
        failed: The host that failed first, if one did of its own.
    """

    codes: Mapping[str, int]
    cause: Cause | None
    failed: str | None


class Attempt:
    """Starts hosts and waits for their end; when one fails, the others are stopped.

    Args:
        hosts: Hosts by name, not yet started.
        alarms: What to do how many seconds after all have started; the first one counts.
        grace: Seconds from SIGTERM to SIGKILL.
        on_line: Called with host and line for all that they print, in the thread of `run`.
        on_cause: Called in that thread when hosts are ended before their time.
    """

    def __init__(
        self,
        hosts: Mapping[str, Running],
        alarms: Mapping[Cause, float],
        grace: float,
        on_line: Callable[[str, str], None],
        on_cause: Callable[[Cause], None],
    ) -> None:
        self._hosts = hosts
        self._alarms = alarms
        self._grace = grace
        self._on_line = on_line
        self._on_cause = on_cause
        self._events: queue.Queue[_Event] = queue.Queue()
        self._ending: list[threading.Thread] = []
        self._codes: dict[str, int] = {}
        self._cause: Cause | None = None
        self._failed: str | None = None

    def run(self) -> Ending:
        """Run all hosts to their end."""
        for host in self._hosts.values():
            host.start()
        now = time.monotonic()
        self._alarms = {cause: now + seconds for cause, seconds in self._alarms.items()}
        for name, host in self._hosts.items():
            threading.Thread(target=self._watch, args=(name, host), daemon=True).start()
        while len(self._codes) < len(self._hosts):
            self._handle_next()
        for thread in self._ending:
            thread.join()
        return Ending(self._codes, self._cause, self._failed)

    def _watch(self, name: str, host: Running) -> None:
        try:
            for line in host.lines():
                self._events.put((name, line))
            self._events.put((name, host.wait()))
        except Exception as error:
            # An engine that went away: the job must not wait for ever.
            self._events.put((name, error))

    def _handle_next(self) -> None:
        due = min(self._alarms, key=lambda cause: self._alarms[cause], default=None)
        if self._cause or due is None:
            wait = None
        else:
            wait = max(0.0, self._alarms[due] - time.monotonic())
        try:
            name, event = self._events.get(timeout=wait)
        except queue.Empty:
            if due:
                self._end(due)
            return
        if isinstance(event, Exception):
            raise event
        if isinstance(event, str):
            self._on_line(name, event)
        else:
            self._ended(name, event)

    def _ended(self, name: str, code: int) -> None:
        self._codes[name] = code
        if code and not self._cause:
            self._failed = name
            self._end(Cause.FAILED)

    def _end(self, cause: Cause) -> None:
        """End what still runs, each host in a thread of its own, so that all hear it at once."""
        self._cause = cause
        self._on_cause(cause)
        for name in self._hosts.keys() - self._codes.keys():
            thread = threading.Thread(target=self._end_host, args=(self._hosts[name],), daemon=True)
            self._ending.append(thread)
            thread.start()

    def _end_host(self, host: Running) -> None:
        if self._cause is Cause.SPOT:
            host.kill()
        else:
            host.stop(self._grace)
