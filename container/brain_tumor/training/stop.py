"""SIGTERM, with which the platform asks a job to end within 120 seconds."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SAID = b"SIGTERM: training ends after this step, then the best model so far is saved\n"


def hold_back() -> None:
    """Let a SIGTERM wait until there is a `StopSignal`, also in the program this process becomes.

    Until then it would end the process at once or, as the first one of a container, not reach it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def let_through() -> None:
    """Take back what `hold_back` did; a SIGTERM that waits arrives."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@contextmanager
def held_back() -> Iterator[None]:
    """Let a SIGTERM wait; threads that are started meanwhile, and theirs, never take one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopSignal:
    """Tells whether a stop was asked for. A second SIGTERM changes nothing."""

    def __init__(self) -> None:
        self._asked = False
        signal.signal(signal.SIGTERM, self._ask)
        let_through()

    def __call__(self) -> bool:
        """Whether training shall end."""
        return self._asked

    def ignore(self) -> None:
        """Take no more notice: as Python ends it would give SIGTERM its deadly meaning back."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _ask(self, _signal: int, _frame: object) -> None:
        if not self._asked:
            # Not by `logging`, whose stream this may have interrupted in the middle of a line; and
            # where nobody reads the log any more, the job must not fail for it.
            with suppress(OSError):
                os.write(2, _SAID)
        self._asked = True
