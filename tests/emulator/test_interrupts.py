"""Signals, sent to this very process."""

import os
import signal
import threading
import time

import pytest

from local_test.emulator.interrupts import Interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_all_blocks_and_the_former_handlers_are_back(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(number)
    unwound = []
    with pytest.raises(SystemExit) as left, Interrupts().caught():  # noqa: PT012
        try:
            os.kill(os.getpid(), number)
        finally:
            unwound.append(True)
    assert left.value.code == 128 + number
    assert unwound
    assert signal.getsignal(number) == before


def test_a_signal_waits_until_what_is_being_made_is_known() -> None:
    interrupts = Interrupts()
    made = []
    with pytest.raises(SystemExit), interrupts.caught():  # noqa: PT012
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGTERM)
            made.append("container")
        made.append("never")
    assert made == ["container"]


def test_a_signal_that_waits_for_another_thread_unwinds_the_main_thread() -> None:
    interrupts = Interrupts()
    unwound = []
    start = time.monotonic()

    def make() -> None:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGTERM)
            # The main thread has taken it in, and waits again.
            while interrupts._pending is None:
                assert time.monotonic() - start < 30
        unwound.append(False)

    with pytest.raises(SystemExit), interrupts.caught():  # noqa: PT012
        thread = threading.Thread(target=make)
        try:
            thread.start()
            threading.Event().wait(30)
        finally:
            thread.join()
            unwound.append(True)
    assert unwound == [False, True]
    # The main thread waits for nothing that Python does, so only a signal to itself wakes it.
    assert time.monotonic() - start < 10


def test_a_signal_that_does_not_end_the_main_threads_wait_is_soon_taken_in_all_the_same() -> None:
    waits = threading.Event()
    other = threading.Timer(60, waits.set)
    other.start()
    try:
        with pytest.raises(SystemExit) as left, Interrupts().caught():  # noqa: PT012
            # As one is that comes just before the wait: Python has it noted, and waits on.
            signal.pthread_kill(other.ident or 0, signal.SIGTERM)
            waits.wait()
    finally:
        other.cancel()
        other.join()
    assert left.value.code == 128 + signal.SIGTERM
    assert not waits.is_set()
