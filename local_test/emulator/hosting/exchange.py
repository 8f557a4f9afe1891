"""One HTTP request as the platform sends it to a container: 250 ms to connect, a deadline for all.

`Host` and `User-Agent` are those that were seen in logs of containers.
"""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from local_test.emulator.errors import EmulatorError

# The name that the platform gives to the first container of a model.
PRIMARY = "primary"
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


class BrokenOffError(EmulatorError):
    """Nobody waits for the answer any more."""


class Opened:
    """An answer of which status and headers are there, and whose body still comes."""

    def __init__(self, response: http.client.HTTPResponse, deadline: "_Deadline") -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        # Which container answers, for messages.
        self.container = PRIMARY
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
    """Breaks a connection at the deadline or before, whatever is waited for on it."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._why: EmulatorError | None = None
        late = TimedOutError(f"no complete answer within {seconds:g} s")
        self._timer = threading.Timer(seconds, self.break_off, [late])
        self._timer.daemon = True
        self._timer.start()

    def break_off(self, why: EmulatorError) -> None:
        """Break the connection; who waits on it is told why."""
        self._why = self._why or why
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def cancel(self) -> None:
        self._timer.cancel()

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say why an exchange broke off, if it does in this block."""
        try:
            yield
        except (OSError, http.client.HTTPException) as error:
            if not self._why:
                raise NoReplyError(f"the connection broke: {error!r}") from error
        if self._why:
            raise self._why


class Connections:
    """The open connections of a job, which break all at once when it is given up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[_Deadline] = set()
        self._closed = False

    @contextmanager
    def counting(self, deadline: _Deadline) -> Iterator[None]:
        """Count a connection as open in this block."""
        with self._lock:
            self._open.add(deadline)
            if self._closed:
                deadline.break_off(BrokenOffError("broken off"))
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(deadline)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Say of a connection that is not made in this block whether anybody waits for it."""
        try:
            yield
        except NoReplyError as error:
            if self._closed:
                raise BrokenOffError("broken off") from error
            raise

    def close(self) -> None:
        """Break all that are open, and all that are still opened: BrokenOffError."""
        with self._lock:
            self._closed = True
            for deadline in self._open:
                deadline.break_off(BrokenOffError("broken off"))


@contextmanager
def opened(
    address: Address,
    method: str,
    path: str,
    *,
    body: Body = None,
    headers: Mapping[str, str] | None = None,
    seconds: float,
    connections: Connections | None = None,
) -> Iterator[Opened]:
    """Send a request and give the answer once its headers are there.

    Args:
        address: Where to.
        method: The HTTP method.
        path: With its query.
        body: Bytes go out with Content-Length, parts chunked.
        headers: More headers.
        seconds: What all of it may take, the reading of the body as well.
        connections: Those that this one is broken off with.

    Raises:
        NoReplyError: There is no connection within 250 ms, or no such answer.
        BrokenOffError: `connections` were closed.
    """
    connections = connections or Connections()
    with connections.told():
        connection = _connected(address)
    deadline = _Deadline(connection.sock, seconds)
    try:
        with connections.counting(deadline):
            with deadline.told():
                response = _response(connection, method, path, body, headers or {})
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
    connections: Connections | None = None,
) -> Reply:
    """Send a request and return the whole answer; see `opened`."""
    start = time.monotonic()
    with opened(
        address,
        method,
        path,
        body=body,
        headers=headers,
        seconds=seconds,
        connections=connections,
    ) as answer:
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


def _response(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Body,
    headers: Mapping[str, str],
) -> http.client.HTTPResponse:
    try:
        _send(connection, method, path, body, headers)
    except ConnectionError as error:
        # A server may refuse a body before it has all of it, such as with 413, and close.
        try:
            return connection.getresponse()
        except (OSError, http.client.HTTPException):
            raise error from None
    return connection.getresponse()


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
