"""A named pipe that somebody else makes and fills: opened without waiting for ever."""

import logging
import os
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from brain_tumor.errors import DataError

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


def never() -> bool:
    """Ask for no stop."""
    return False


def open_fifo(path: Path, seconds: float, stop_asked: Callable[[], bool] = never) -> BinaryIO:
    """Open a named pipe for reading once it is there and something, or its end, has come.

    Args:
        path: the pipe; it may not exist yet.
        seconds: how long to wait for the pipe, and again for its writer.
        stop_asked: True once the wait shall end.

    Raises:
        DataError: there is no pipe, nobody writes into it, or a stop was asked for meanwhile.
    """
    log.info("Waiting for %s, at most %g seconds", path, seconds)
    # Without O_NONBLOCK `open` itself waits for a writer, and cannot be told for how long.
    descriptor = _open_when_there(path, time.monotonic() + seconds, stop_asked)
    try:
        _wait_for_writer(descriptor, path, seconds, stop_asked)
        os.set_blocking(descriptor, True)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _open_when_there(path: Path, deadline: float, stop_asked: Callable[[], bool]) -> int:
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if time.monotonic() > deadline:
                raise DataError(
                    f"{path} did not appear. Wanted the named pipe that input mode Pipe makes. "
                    "Usual cause: a channel that this host is not given, or a platform without "
                    "Pipe mode, such as the SDK's local mode; use File or FastFile there."
                ) from error
        _require_no_stop(path, stop_asked)
        time.sleep(_POLL_SECONDS)


def _wait_for_writer(
    descriptor: int, path: Path, seconds: float, stop_asked: Callable[[], bool]
) -> None:
    # A pipe that no writer has opened yet is not ready; one whose writer has gone is.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + seconds
    while not poll.poll(1000 * _POLL_SECONDS):
        _require_no_stop(path, stop_asked)
        if time.monotonic() > deadline:
            raise DataError(
                f"Nothing was written into {path} for {seconds:g} seconds. Usual cause: an S3 "
                "prefix that cannot be read; the log of the platform says more."
            )


def _require_no_stop(path: Path, stop_asked: Callable[[], bool]) -> None:
    if stop_asked():
        raise DataError(f"Asked to stop while waiting for {path}; nothing was trained.")
