"""Ctrl-C and SIGTERM end a run at once, but never between making a thing and knowing of it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt_behind(error: BaseException) -> SystemExit | None:
    """Return the end that a signal asked for, where an error took its place on the way out.

    A queue that a signal interrupts may fail to give up its lock ("release unlocked lock").
    """
    cause = error.__context__
    while cause is not None and not isinstance(cause, SystemExit):
        cause = cause.__context__
    return cause


class Interrupts:
    """Turns signals into SystemExit, which unwinds all `with` blocks; a shell's 128 + number."""

    def __init__(self) -> None:
        self._held = 0
        self._counting = threading.Lock()
        self._pending: int | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Handle the signals in this block, if it is run by the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._arrived) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep a signal that arrives in this block, in any thread, until the block ends."""
        with self._counting:
            self._held += 1
        try:
            yield
        finally:
            with self._counting:
                self._held -= 1
        if self._pending is not None and not self._held:
            main = threading.main_thread()
            if threading.current_thread() is main:
                self._leave(self._pending)
            else:
                # The main thread has the blocks to unwind. Python runs handlers there, but only a
                # signal to the thread itself wakes it when it waits.
                signal.pthread_kill(main.ident or 0, self._pending)

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if self._held:
            self._pending = number
        else:
            self._leave(number)

    def _leave(self, number: int) -> None:
        self._pending = None
        raise SystemExit(128 + number)
