"""One attempt of a job: what interrupts it, whatever its hosts do."""

from pathlib import Path

import pytest

from local_test.emulator.attempt import Attempt, Cause
from local_test.emulator.process import Process


class _Unstoppable(Process):
    """A host whose engine no longer answers when it is to be stopped."""

    def stop(self, grace: float) -> None:
        raise ConnectionError(f"the engine went away, {grace} s")


def test_a_host_that_cannot_be_stopped_ends_the_attempt_with_the_reason(tmp_path: Path) -> None:
    host = _Unstoppable(["sleep", "60"], tmp_path / "ml", {})
    host.start()
    attempt = Attempt(
        {"algo-1": host}, {Cause.STOPPED: 0}, 1, lambda _host, _line: None, lambda _cause: None
    )
    try:
        with pytest.raises(ConnectionError, match="the engine went away"):
            attempt.run()
    finally:
        host.remove()
