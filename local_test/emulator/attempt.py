"""One attempt of a training job: all hosts from start to end, with what interrupts them."""

import enum
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local_test.emulator.running import Running

# By host: a line of its log, its exit code at the end, or why it can no longer be watched or ended.
_Event = tuple[str, str | int | Exception]
# A host that prints faster than its log can be written has to wait.
_MAX_EVENTS = 1000


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
    """Waits for the end of hosts that were started; when one fails, the others are stopped.

    Args:
        hosts: Hosts by name.
        alarms: What to do in how many seconds from now; the first one counts.
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
        now = time.monotonic()
        self._alarms = {cause: now + seconds for cause, seconds in alarms.items()}
        self._grace = grace
        self._on_line = on_line
        self._on_cause = on_cause
        self._events: queue.Queue[_Event] = queue.Queue(_MAX_EVENTS)
        self._ending: list[threading.Thread] = []
        self._codes: dict[str, int] = {}
        self._cause: Cause | None = None
        self._failed: str | None = None

    def run(self) -> Ending:
        """Wait for all hosts' end."""
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
        wait = None
        if due and not self._cause:
            wait = self._alarms[due] - time.monotonic()
            # Looked at before the log, which may never pause.
            if wait <= 0:
                self._end(due)
                return
        try:
            name, event = self._events.get(timeout=wait)
        except queue.Empty:
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
            thread = threading.Thread(target=self._end_host, args=(name,), daemon=True)
            self._ending.append(thread)
            thread.start()

    def _end_host(self, name: str) -> None:
        host = self._hosts[name]
        try:
            if self._cause is Cause.SPOT:
                host.kill()
            else:
                host.stop(self._grace)
        except Exception as error:
            # The host may run on: the job must not wait for it for ever.
            self._events.put((name, error))
