"""training.stop: SIGTERM is heeded once, whoever reads the log."""

import os
import signal
from collections.abc import Iterator

import pytest

from brain_tumor.training.stop import StopSignal


@pytest.fixture
def stop() -> Iterator[StopSignal]:
    """Listen to SIGTERM for as long as a test runs."""
    yield StopSignal()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture
def broken_stderr() -> Iterator[None]:
    """Let descriptor 2 be a pipe that nobody reads."""
    kept, (reader, writer) = os.dup(2), os.pipe()
    os.close(reader)
    os.dup2(writer, 2)
    yield
    os.dup2(kept, 2)
    os.close(kept)
    os.close(writer)


def test_a_stop_is_asked_for_by_sigterm_and_a_second_one_changes_nothing(
    stop: StopSignal, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not stop()
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
    assert capfd.readouterr().err.count("SIGTERM") == 1


@pytest.mark.usefixtures("broken_stderr")
def test_a_stop_does_not_fail_where_nobody_reads_the_log(stop: StopSignal) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop()


def test_after_the_end_sigterm_is_ignored(stop: StopSignal) -> None:
    stop.ignore()
    os.kill(os.getpid(), signal.SIGTERM)
    assert not stop()
