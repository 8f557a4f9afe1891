"""Fixtures of the package's unit tests: each begins with a clean environment and logging."""

import logging
import os
import signal
from collections.abc import Iterator

import pytest

from tests.jobs import Replaced

_OURS = ("BRAIN_TUMOR_", "SAGEMAKER_")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away settings that the machine happens to have."""
    for name in os.environ:
        if name.startswith(_OURS) or name == "PORT":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_sigterm() -> Iterator[None]:
    """Give SIGTERM back what it did: whatever a later test starts would inherit it."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


@pytest.fixture
def no_exec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise `Replaced` with the program and its arguments instead of becoming it."""

    def execv(path: str, arguments: list[str]) -> None:
        raise Replaced(path, arguments)

    monkeypatch.setattr(os, "execv", execv)


@pytest.fixture
def restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the logging back that `configure_logging` replaces for the whole process."""
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {
        name: logger.level
        for name, logger in root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, logger in root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger):
            logger.setLevel(levels.get(name, logging.NOTSET))
