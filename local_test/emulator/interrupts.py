"""Ctrl-C and SIGTERM end a run at once, but never between making a thing and knowing of it."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WAKE = signal.SIGURG
_WAKE_SECONDS = 0.2


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
        with _handled(self._arrived, *_SIGNALS), _woken():
            yield

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


@contextmanager
def _handled(
    handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals
) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


@contextmanager
def _woken() -> Iterator[None]:
    """Wake the main thread, which runs this block, again and again.

    Python looks for signals before a wait, and a signal ends a wait; one that comes between the two
    would be taken in only when what is waited for is there, a minute's answer, say.
    """
    main, over = threading.get_ident(), threading.Event()

    def wake() -> None:
        while not over.wait(_WAKE_SECONDS):
            signal.pthread_kill(main, _WAKE)

    thread = threading.Thread(target=wake, daemon=True)
    with _handled(lambda _number, _frame: None, _WAKE):
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
