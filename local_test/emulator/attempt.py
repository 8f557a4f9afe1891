"""One attempt of a training job: all hosts from start to end, with what interrupts them."""

import enum
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local_test.emulator.running import Running

OnLine = Callable[[str, str], None]
# By host: a line of its log, its exit code at the end, or why it can no longer be watched.
_Events = queue.Queue[tuple[str, str | int | Exception]]


class Cause(enum.Enum):
    """Why hosts were ended."""

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


def run(
    hosts: Mapping[str, Running],
    alarms: Mapping[Cause, float],
    grace: float,
    on_line: OnLine,
    on_cause: Callable[[Cause], None],
) -> Ending:
    """Start hosts and wait for their end; when one fails, the others are stopped.

    Args:
        hosts: Hosts by name, not yet started.
        alarms: When to do what, on the monotonic clock; the first one counts.
        grace: Seconds from SIGTERM to SIGKILL.
        on_line: Called with host and line for all that they print, in this thread.
        on_cause: Called in this thread when hosts are ended before their time.
    """
    events: _Events = queue.Queue()
    for host in hosts.values():
        host.start()
    for name, host in hosts.items():
        threading.Thread(target=_watch, args=(name, host, events), daemon=True).start()
    codes: dict[str, int] = {}
    cause: Cause | None = None
    failed: str | None = None
    due = min(alarms, key=lambda alarm: alarms[alarm], default=None)
    while len(codes) < len(hosts):
        wait = None if cause or due is None else max(0.0, alarms[due] - time.monotonic())
        try:
            name, event = events.get(timeout=wait)
        except queue.Empty:
            cause = due
        else:
            if isinstance(event, Exception):
                raise event
            if isinstance(event, str):
                on_line(name, event)
                continue
            codes[name] = event
            if not event or cause:
                continue
            failed, cause = name, Cause.FAILED
        if cause and len(codes) < len(hosts):
            on_cause(cause)
            _end([host for name, host in hosts.items() if name not in codes], cause, grace)
    return Ending(codes, cause, failed)


def _watch(name: str, host: Running, events: _Events) -> None:
    try:
        for line in host.lines():
            events.put((name, line))
        events.put((name, host.wait()))
    except Exception as error:
        # An engine that went away: the job must not wait for ever.
        events.put((name, error))


def _end(hosts: list[Running], cause: Cause, grace: float) -> None:
    """End hosts, each in a thread of its own: all get their signal at the same time."""
    for host in hosts:
        if cause is Cause.SPOT:
            threading.Thread(target=host.kill, daemon=True).start()
        else:
            threading.Thread(target=host.stop, args=(grace,), daemon=True).start()
