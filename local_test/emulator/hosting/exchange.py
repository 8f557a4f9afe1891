"""One HTTP request as the platform sends it to a container: 250 ms to connect, a deadline for all.

`Host` and `User-Agent` are those that were seen in logs of containers.
"""

import http.client
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from local_test.emulator.errors import EmulatorError

CONNECT_SECONDS = 0.25
_HOST = "model.aws.local:8080"
_USER_AGENT = "AHC/2.0"
_PART_BYTES = 65536

Body = bytes | Iterable[bytes] | None


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


@dataclass(frozen=True)
class Reply:
    """A whole answer.

    Attributes:
        status: The HTTP status.
        headers: Names in lower case.
        body: All of it.
        seconds: From before the connection to the last byte.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0


class NoReplyError(EmulatorError):
    """No answer, or not all of it: the text says what happened instead."""


class TimedOutError(NoReplyError):
    """The answer was not complete in time."""


class Opened:
    """An answer of which status and headers are there, and whose body still comes."""

    def __init__(self, response: http.client.HTTPResponse, deadline: "_Deadline") -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        # Which container answers, for messages; the platform's name for the only one.
        self.container = "primary"
        self._response = response
        self._deadline = deadline

    def parts(self) -> Iterator[bytes]:
        """Give the body as it comes.

        Raises:
            NoReplyError: It breaks off, or is not complete in time.
        """
        while True:
            with self._deadline.told():
                part = self._response.read1(_PART_BYTES)
                if not part and self._response.length:
                    raise http.client.IncompleteRead(part, self._response.length)
            if not part:
                return
            yield part


class _Deadline:
    """Breaks a connection at the deadline, whatever is waited for on it."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._passed = threading.Event()
        self._timer = threading.Timer(seconds, self._break)
        self._timer.daemon = True
        self._timer.start()

    def _break(self) -> None:
        self._passed.set()
        if sock := self._connection.sock:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def cancel(self) -> None:
        self._timer.cancel()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say why an exchange broke off, if it does in this block."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            if not self._passed.is_set():
                raise NoReplyError(f"the connection broke: {error!r}") from error
        if self._passed.is_set():
            raise TimedOutError(f"no complete answer within {self._seconds:g} s")


@contextmanager
def opened(
    address: Address,
    method: str,
    path: str,
    *,
    body: Body = None,
    headers: Mapping[str, str] | None = None,
    seconds: float,
) -> Iterator[Opened]:
    """Send a request and give the answer once its headers are there.

    Args:
        address: Where to.
        method: The HTTP method.
        path: With its query.
        body: Bytes go out with Content-Length, parts chunked.
        headers: More headers.
        seconds: What all of it may take, the reading of the body as well.

    Raises:
        NoReplyError: There is no connection within 250 ms, or no such answer.
    """
    connection = _connected(address)
    deadline = _Deadline(connection, seconds)
    try:
        with deadline.told():
            _send(connection, method, path, body, headers or {})
            response = connection.getresponse()
        yield Opened(response, deadline)
    finally:
        deadline.cancel()
        connection.close()


def exchange(
    address: Address,
    method: str,
    path: str,
    *,
    body: Body = None,
    headers: Mapping[str, str] | None = None,
    seconds: float,
) -> Reply:
    """Send a request and return the whole answer; see `opened`."""
    start = time.monotonic()
    with opened(address, method, path, body=body, headers=headers, seconds=seconds) as answer:
        content = b"".join(answer.parts())
        return Reply(answer.status, answer.headers, content, time.monotonic() - start)


def _connected(address: Address) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(address.host, address.port, CONNECT_SECONDS)
    try:
        connection.connect()
    except TimeoutError as error:
        limit = round(1000 * CONNECT_SECONDS)
        raise NoReplyError(f"no connection within {limit} ms") from error
    except OSError as error:
        raise NoReplyError(f"no connection: {error.strerror or error}") from error
    connection.sock.settimeout(None)
    return connection


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Body,
    headers: Mapping[str, str],
) -> None:
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": _HOST, "User-Agent": _USER_AGENT, **headers}.items():
        connection.putheader(name, value)
    whole = body is None or isinstance(body, bytes)
    if isinstance(body, bytes):
        connection.putheader("Content-Length", str(len(body)))
    elif not whole:
        connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders(body, encode_chunked=not whole)
