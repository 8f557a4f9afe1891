"""A real `serve` on a loopback port, and HTTP requests to it."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.jobs import BIN
from tests.openapi import assert_documented

PLATFORM_PING_SECONDS = 2.0
"""What SageMaker allows for the answer to a /ping."""
UNREADABLE = 100_000
"""Scans of `unread_reply`."""


@dataclass(frozen=True)
class Reply:
    """What the server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send one request; an iterable body goes out chunked, without Content-Length."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def unread_reply(server: "Server", path: str) -> socket.socket:
    """Ask for a reply larger than all buffers on its way, and read no more of it than its status.

    It is that to `UNREADABLE` scans that cannot be read, for those take no time.
    """
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", server.port))
    body = b'{"b64":""}\n' * UNREADABLE
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/jsonlines\r\n"
        f"Accept: application/jsonlines\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def wait_until_refused(port: int) -> None:
    """Return once the server no longer answers new requests: it has seen the signal."""
    for _ in range(100):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=0.1) as probe:
                probe.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if not probe.recv(1):
                    return
        except OSError:
            return
    raise AssertionError("the server still answers new requests after SIGTERM")


class Server:
    """A running `serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    @classmethod
    @contextmanager
    def start(cls, ml_dir: Path, port: int, log: Path, **env: str) -> Iterator[Self]:
        """Start `serve` on a model folder; it is ended with the block."""
        settings = {"SAGEMAKER_BASE_DIR": str(ml_dir), "PORT": str(port), **env}
        with cls.launch([BIN / "serve"], port, log, settings) as server:
            yield server

    @classmethod
    @contextmanager
    def launch(
        cls,
        command: Sequence[str | Path],
        port: int,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
    ) -> Iterator[Self]:
        """Start a command that becomes `serve`; it is ended with the block."""
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **env},
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        try:
            yield cls(process, port, log)
        finally:
            process.terminate()
            process.wait(timeout=30)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request to this server, and see that its OpenAPI document promises the reply."""
        reply = request(self.port, method, path, body, headers)
        assert_documented(method, path, reply.status, reply.headers, reply.body)
        return reply

    def wait_until_logged(self, words: str) -> None:
        """Return once these words stand in the log."""
        deadline = time.monotonic() + 60
        while words not in self.log.read_text():
            assert time.monotonic() < deadline, f"never logged: {words}"
            time.sleep(0.1)

    def wait_until_ready(self) -> list[int]:
        """Ping until 200; return the statuses met on the way, 0 for no connection yet."""
        seen: list[int] = []
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                seen.append(self.request("GET", "/ping").status)
            except OSError:
                seen.append(0)
            if seen[-1] == 200:
                return seen
            time.sleep(0.1)
        raise AssertionError(f"never ready; pings {seen[-5:]}; log:\n{self.log.read_text()}")
