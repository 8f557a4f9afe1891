#!/usr/bin/env python3
"""A small server for tests: `python -m tests.emulator.hosting.stub`; each path says what it does.

Its behaviour is told by the body of an invocation, a JSON object, so that one stub is all:
    echo: answer with what came: headers, body, environment, files
    status, message, headers: answer so
    sleep: seconds before the answer
    parts, pause: answer chunked, with seconds between the parts
    fill: answer with so many bytes
    write: answer which of these files it may write, as whom it runs, whether there is shared memory
    die: end at once with this exit code
    cut: promise more bytes than are sent
"""

import base64
import json
import os
import signal
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
START = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        # Who interrupts a job hangs up in the midst of a body or of an answer: no fault to print.
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        if self.path == "/ping":
            time.sleep(float(os.environ.get("PING_SECONDS", "0")))
            late = time.monotonic() - START < float(os.environ.get("LOAD_SECONDS", "0"))
            self.answer(503 if late else int(os.environ.get("PING_STATUS", "200")), b"")
        else:
            self.answer(404, b"")

    def do_POST(self) -> None:
        body = self.body()
        try:
            wanted = json.loads(body)
        except ValueError:
            wanted = {"echo": True}
        if not isinstance(wanted, dict):
            wanted = {"echo": True}
        time.sleep(wanted.get("sleep", 0))
        if "parts" in wanted:
            self.send_parts(wanted)
        elif "cut" in wanted:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"only this")
            self.close_connection = True
        elif "fill" in wanted:
            self.answer(200, b"m" * wanted["fill"])
        elif "write" in wanted:
            self.answer(200, json.dumps(rights(wanted["write"])).encode())
        elif "die" in wanted:
            os._exit(wanted["die"])
        elif "status" in wanted:
            content = wanted.get("message", "").encode()
            self.answer(wanted["status"], content, wanted.get("headers"))
        else:
            self.answer(200, json.dumps(self.seen(body)).encode(), wanted.get("headers"))

    def body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def seen(self, body: bytes) -> dict[str, Any]:
        model = ML / "model"
        return {
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": base64.b64encode(body).decode(),
            "environment": dict(os.environ),
            "files": sorted(p.relative_to(model).as_posix() for p in model.rglob("*")),
        }

    def send_parts(self, wanted: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in wanted["parts"]:
            self.wfile.write(f"{len(part):x}\r\n{part}\r\n".encode())
            self.wfile.flush()
            time.sleep(wanted.get("pause", 0))
        if wanted.get("break"):
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def rights(paths: list[str]) -> dict[str, Any]:
    told: dict[str, Any] = {"uid": os.getuid(), "shm": Path("/dev", "shm").exists()}
    for path in paths:
        try:
            Path(path).write_text("x")
            told[path] = "written"
        except OSError as error:
            told[path] = error.strerror
    return told


def end_with_sigterm() -> None:
    def leave(*_: object) -> None:
        print("ended by SIGTERM", flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "DEAF" in os.environ else leave)


def main(handler: type[BaseHTTPRequestHandler]) -> None:
    end_with_sigterm()
    if "FAILS" in os.environ:
        print("ModuleNotFoundError: No module named 'joblib'", file=sys.stderr)
        raise SystemExit(3)
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    with ThreadingHTTPServer(("0.0.0.0", port), handler) as server:
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main(Handler)
