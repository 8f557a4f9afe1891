"""SageMaker's runtime on a loopback port: `boto3.client("sagemaker-runtime", endpoint_url=URL)`.

DescribeEndpoint of `boto3.client("sagemaker", …)` is answered, too. Signatures are not looked at.
"""

import json
import re
import sys
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting import describe, eventstream
from local_test.emulator.hosting.api_errors import (
    ApiError,
    InternalStreamError,
    ValidationError,
)
from local_test.emulator.hosting.asynchronous import AsyncInvocations
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.headers import PREFIX
from local_test.emulator.specification import ACCOUNT

_PATH = re.compile(
    r"/endpoints/(?P<name>[^/?]+)/"
    r"(?P<action>invocations|invocations-response-stream|async-invocations)"
)


@contextmanager
def running(
    endpoint: Endpoint,
    port: int = 0,
    asynchronous: AsyncInvocations | None = None,
    note: Callable[[str], None] = lambda _text: None,
) -> Iterator[str]:
    """Give the URL under which an endpoint is invoked, until the block ends.

    Args:
        endpoint: What is invoked.
        port: Where to listen; 0 finds a free one.
        asynchronous: For an endpoint that is invoked asynchronously, and not otherwise.
        note: Called with each fault that is not the container's, in words.

    Raises:
        EmulatorError: The port is taken.
    """

    class Handling(Handler):
        pass

    Handling.endpoint, Handling.asynchronous = endpoint, asynchronous
    Handling.note = staticmethod(note)
    try:
        server = Server(("127.0.0.1", port), Handling)
    except OSError as error:
        raise EmulatorError(f"Port {port} cannot be listened on: {error.strerror}.") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Server(ThreadingHTTPServer):
    """Takes connections, each in a thread of its own."""

    daemon_threads = True
    # Calls that come at once wait to be taken; with the default of 5 some would be turned away.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a caller that went away before its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers the calls of one client of an endpoint."""

    protocol_version = "HTTP/1.1"
    # Without it each small part of a stream would wait for an acknowledgement.
    disable_nagle_algorithm = True
    endpoint: Endpoint
    asynchronous: AsyncInvocations | None
    note: Callable[[str], None]

    def do_POST(self) -> None:
        """Answer an invocation, whatever goes wrong."""
        try:
            self._answered(self._body())
        except ConnectionError:
            raise
        except Exception as error:
            # It is not known how much of the call was read.
            self.close_connection |= not isinstance(error, ApiError)
            self._refuse(self._told(error))

    def _told(self, error: Exception, fault: type[ApiError] = ApiError) -> ApiError:
        """Return what the caller is told; what is no error of the API goes into the log, too."""
        if isinstance(error, ApiError):
            return error
        if isinstance(error, EmulatorError):
            self.note(str(error))
        else:
            self.note("".join(traceback.format_exception(error)))
        return fault(f"{type(error).__name__}: {error}")

    def _answered(self, body: bytes) -> None:
        if operation := self.headers.get("X-Amz-Target"):
            described = json.dumps(describe.answer(self.endpoint, operation, body)).encode()
            self._answer(200, {"Content-Type": "application/x-amz-json-1.1"}, described)
        else:
            self._invoke(body)

    def _invoke(self, body: bytes) -> None:
        match = _PATH.fullmatch(self.path)
        if not match or match["name"] != self.endpoint.name:
            name = match["name"] if match else self.path
            raise ValidationError(f"Endpoint {name} of account {ACCOUNT} not found.")
        headers = {name.lower(): value for name, value in self.headers.items()}
        if (match["action"] == "async-invocations") != bool(self.asynchronous):
            kind = "an asynchronous" if self.asynchronous else "a real-time"
            raise ValidationError(f"Endpoint {self.endpoint.name} is {kind} endpoint.")
        if self.asynchronous:
            accepted = self.asynchronous.accept(body, headers)
            content = json.dumps({"InferenceId": accepted.inference_id}).encode()
            self._answer(202, {"Content-Type": "application/json", **accepted.headers}, content)
        elif match["action"] == "invocations":
            reply = self.endpoint.invoke(body, headers)
            self._answer(200, reply.headers, reply.body)
        else:
            self._stream(body, headers)

    def _stream(self, body: bytes, headers: dict[str, str]) -> None:
        # Here the API has a name of its own for Accept.
        if accept := headers.get(f"{PREFIX}accept"):
            headers["accept"] = accept
        with self.endpoint.stream(body, headers) as stream:
            answered = dict(stream.headers)
            answered["X-Amzn-SageMaker-Content-Type"] = answered.pop("Content-Type", "")
            answered["Content-Type"] = "application/vnd.amazon.eventstream"
            self._head(200, {**answered, "Transfer-Encoding": "chunked"})
            try:
                for part in stream.parts:
                    self._chunk(eventstream.part(part))
            except ConnectionError:
                raise
            except Exception as error:
                self._chunk(eventstream.failure(self._told(error, InternalStreamError)))
            self._chunk(b"")

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(content), content))

    def _refuse(self, error: ApiError) -> None:
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": error.code}
        self._answer(error.status, headers, json.dumps(error.fields).encode())

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self._head(status, {**headers, "Content-Length": str(len(content))})
        self.wfile.write(content)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"x-amzn-RequestId": str(uuid.uuid4()), **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            # Otherwise the caller may send its next call into a connection that ends.
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: the container's log is what a person wants to see."""
