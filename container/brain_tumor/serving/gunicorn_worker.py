"""gunicorn's thread worker, made proof against clients that stall."""

import socket
import struct
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from brain_tumor.logs import request_id
from brain_tumor.settings import load_settings

# In all, for a refused client to send the rest: 100 MB at 100 Mbit/s. It holds a thread meanwhile.
_LINGER_SECONDS = 10
# Without a byte from it; gunicorn gives any client as long to hang up.
_IDLE_SECONDS = 2
_STEP = 1 << 16


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

    gunicorn (27.0.1) waits there up to 2 s for the client to hang up too, and answers nobody. It
    takes 64 kB of what a refused client still sends; the kernel would answer the rest with a reset
    that can overtake the refusal (RFC 9112, section 9.6), so all of it is taken here.
    """
    deadline = time.monotonic() + _LINGER_SECONDS
    # The client may be gone, or stall.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(_IDLE_SECONDS)
        while connection.recv(_STEP) and time.monotonic() < deadline:
            pass
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
