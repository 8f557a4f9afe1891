"""gunicorn's thread worker, made proof against clients that stall."""

import socket
import struct
from contextlib import suppress
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from brain_tumor.logs import request_id
from brain_tumor.settings import load_settings


class Worker(ThreadWorker):  # type: ignore[misc]
    """Waits for no client longer than `BRAIN_TUMOR_STALL_SECONDS`, nor for any in its main loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        seconds = load_settings().stall_seconds
        # The kernel's `struct timeval`.
        self._stall = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))

    def handle(self, conn: Any) -> Any:
        """Answer a request in one of the pool's threads."""
        # gunicorn's own words about this connection are not of the request before.
        request_id.set(None)
        # By the kernel, for gunicorn takes the timeouts of Python's sockets off again. A read or
        # write that is given up raises BlockingIOError.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, self._stall)
        kept = super().handle(conn)
        if not kept:
            _hang_up(conn.sock)
        return kept


def _hang_up(connection: socket.socket) -> None:
    """End a connection, so that its `close`, which is left to the main loop, need not wait.

    gunicorn (27.0.1) waits there up to 2 s for the client to hang up too, and answers nobody.
    """
    # The client may be gone.
    with suppress(OSError):
        util.close_graceful(connection.dup())
        connection.shutdown(socket.SHUT_RDWR)
