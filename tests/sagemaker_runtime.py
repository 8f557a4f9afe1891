"""A small stand-in for SageMaker's runtime on loopback: passes what boto3 sends on to `serve`.

What it does is what the API reference says of InvokeEndpoint and InvokeEndpointWithResponseStream,
without signatures; its errors are a ModelError, its streams Amazon's event streams.
"""

import http.client
import json
import re
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PATH = re.compile(r"/endpoints/[^/]+/invocations(-response-stream)?")
# What the API calls a header, and what the container gets.
_PASSED_ON = {
    "Content-Type": "Content-Type",
    "Accept": "Accept",
    "X-Amzn-SageMaker-Accept": "Accept",  # of InvokeEndpointWithResponseStream
    "X-Amzn-SageMaker-Session-Id": "X-Amzn-SageMaker-Session-Id",
}


@contextmanager
def running(port: int) -> Iterator[str]:
    """Give the URL of a stand-in for an endpoint that `serve` answers on this port."""

    class Handler(_Handler):
        container = port

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    container: int

    def do_POST(self) -> None:
        match = _PATH.fullmatch(self.path)
        assert match
        body = self.rfile.read(int(self.headers["Content-Length"]))
        connection = http.client.HTTPConnection("127.0.0.1", self.container, timeout=60)
        passed_on = {
            name: self.headers[sent] for sent, name in _PASSED_ON.items() if sent in self.headers
        }
        connection.request("POST", "/invocations", body, passed_on)
        response = connection.getresponse()
        if response.status != 200:
            self._model_error(response)
        elif match[1]:
            self._stream(response)
        else:
            self._answer(200, response.headers["Content-Type"], response.read())
        connection.close()

    def _answer(self, status: int, content_type: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _model_error(self, response: http.client.HTTPResponse) -> None:
        message = {
            "Message": "Received error from primary",
            "OriginalStatusCode": response.status,
            "OriginalMessage": response.read().decode()[:2048],
        }
        body = json.dumps(message).encode()
        self._answer(424, "application/json", body, x_amzn_ErrorType="ModelError")

    def _stream(self, response: http.client.HTTPResponse) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.amazon.eventstream")
        self.send_header("X-Amzn-SageMaker-Content-Type", response.headers["Content-Type"])
        self.end_headers()
        while part := response.read1(100_000):
            self.wfile.write(_event(part))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _event(payload: bytes) -> bytes:
    """Write a part as an event ("Event stream encoding" of Amazon Transcribe's guide)."""
    headers = b"".join(
        bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
        for name, value in (
            (b":message-type", b"event"),
            (b":event-type", b"PayloadPart"),
            (b":content-type", b"application/octet-stream"),
        )
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))
