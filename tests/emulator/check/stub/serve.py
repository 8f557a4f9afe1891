"""A small `serve` that keeps every rule, or breaks the one that FAULT names.

With SAGEMAKER_BASE_DIR for /opt/ml. It needs the standard library alone.
"""

import json
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
FAULT = os.environ.get("FAULT", "")
MULTI = os.environ.get("SAGEMAKER_MULTI_MODEL") == "true"


class Model:
    def __init__(self, folder: Path) -> None:
        self.url = str(folder)
        path = folder / "weights.json"
        if FAULT == "healthy with a broken model":
            try:
                self.answer = json.loads(path.read_text())["answer"]
            except ValueError:
                self.answer = None
            return
        self.answer = json.loads(path.read_text())["answer"]


MODELS: dict[str, Model] = {}
PINGS: list[int] = []
BUSY = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0" if FAULT == "closes connections" else "HTTP/1.1"
    timeout = 30

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, status: int, body: bytes | str = b"", kind: str = "text/plain") -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        if content and not (FAULT == "names no type" and self.path == "/invocations"):
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def json(self, told: Any, status: int = 200) -> None:
        self.reply(status, json.dumps(told), "application/json")

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked" and FAULT != "reads no chunks":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/ping":
            self.ping()
        elif self.path == "/metrics" and FAULT == "has other metrics":
            self.reply(200, "<html>no metrics</html>")
        elif self.path == "/metrics":
            self.reply(200, "# HELP answers\nanswers 1\n")
        elif self.path == "/execution-parameters":
            size = 60 if FAULT == "tells too much for batches" else 6
            strategy = "single" if FAULT == "names no strategy" else "SINGLE_RECORD"
            told = {"MaxConcurrentTransforms": 2, "BatchStrategy": strategy}
            self.json({**told, "MaxPayloadInMB": size})
        elif self.path.split("?")[0] == "/models" and MULTI:
            models = [describe(name) for name in MODELS]
            if FAULT == "lists models with another URL":
                models = [{**model, "modelUrl": "/opt/ml/model"} for model in models]
            self.json({"models": models}, 404 if FAULT == "lists models with 404" else 200)
        elif self.path.startswith("/models/") and MULTI:
            name = self.path.split("/")[2]
            if FAULT == "describes models by their name alone" and name in MODELS:
                self.json({"modelName": name})
            elif name in MODELS or FAULT == "describes every model":
                self.json(describe(name))
            else:
                self.reply(404)
        else:
            self.reply(404)

    def ping(self) -> None:
        PINGS.append(1)
        if FAULT == "is healthy twice and never again" and len(PINGS) > 2:
            self.reply(503)
            return
        if FAULT == "pings behind predictions":
            with BUSY:
                pass
        self.reply(200, "ok" if FAULT == "talks in its ping" else b"")

    def do_DELETE(self) -> None:
        name = self.path.split("/")[2]
        if MODELS.pop(name, None) or FAULT == "unloads what is not there":
            self.reply(200)
        else:
            self.reply(404)

    def do_POST(self) -> None:
        if self.path == "/ping" and FAULT != "knows GET alone":
            self.read_body()
            self.ping()
        elif self.path == "/invocations":
            self.invoke(MODELS["model"])
        elif self.path == "/models" and MULTI:
            self.load(json.loads(self.read_body()))
        elif self.path.endswith("/invoke") and MULTI:
            self.invoke_model(self.path.split("/")[2])
        else:
            self.read_body()
            self.reply(404)

    def load(self, told: dict[str, str]) -> None:
        name = told["model_name"]
        if name in MODELS and FAULT != "loads twice":
            self.reply(409)
            return
        MODELS[name] = Model(Path(told["url"]))
        self.reply(200)

    def invoke_model(self, name: str) -> None:
        if name not in MODELS:
            self.read_body()
            self.reply(500 if FAULT == "knows no 404 for models" else 404)
            return
        self.invoke(MODELS[name])

    def invoke(self, model: Model) -> None:
        if FAULT == "refuses 25 MB" and int(self.headers.get("Content-Length", 0)) > 6 << 20:
            self.close_connection = True
            self.reply(413, "too large")
            return
        body = self.read_body()
        if FAULT == "answers slowly":
            time.sleep(10)
        if FAULT == "fails at all bodies":
            self.reply(500)
            return
        if FAULT == "pings behind predictions":
            with BUSY:
                time.sleep(0.5)
        try:
            self.answer(model, body)
        except LookupError as error:
            self.reply(415, str(error))
        except ValueError as error:
            self.refuse(body, error)

    def refuse(self, body: bytes, error: ValueError) -> None:
        text = f"the body is no JSON: {error}"
        if FAULT == "sends tracebacks":
            text = f"Traceback (most recent call last):\n{text}"
        if FAULT == "fails at empty bodies" and not body:
            self.reply(500, text)
        elif FAULT == "fails at broken bodies" and body:
            self.reply(500 if len(body) < 1000 else 400, text)
        else:
            self.reply(400, text)

    def answer(self, model: Model, body: bytes) -> None:
        if self.headers["Content-Type"] != "application/json" or FAULT == "wants another type":
            if FAULT == "fails at unknown types":
                self.reply(500, "KeyError")
                return
            raise LookupError("wanted application/json")
        if FAULT == "refuses Accept */*" and self.headers.get("Accept") == "*/*":
            self.reply(406)
            return
        if FAULT == "refuses headers" and "X-Amzn-SageMaker-Added-Later" in self.headers:
            self.reply(400)
            return
        asked = json.loads(body.rstrip(b"\0"))
        if FAULT == "answers with 500" or model.answer is None:
            self.reply(500)
            return
        self.json({"asked": asked, "answer": mixed_up(model.answer)})


CALLS: list[int] = []


def mixed_up(answer: int) -> int:
    """Answer rightly; with the fault, requests at the same time see each other."""
    if FAULT != "mixes requests up":
        return answer
    CALLS.append(1)
    time.sleep(0.05)
    together = len(CALLS)
    CALLS.pop()
    return answer + together - 1


def describe(name: str) -> dict[str, str]:
    return {"modelName": name, "modelUrl": MODELS[name].url if name in MODELS else ""}


def break_at_start() -> None:
    if FAULT == "cannot serve":
        raise RuntimeError("the model is of another version")
    if FAULT == "loads for ever":
        signal.pause()
    if FAULT == "needs a network to serve":
        socket.gethostbyname("outside")
    if FAULT == "writes while it serves":
        (Path.home() / "lock").write_text("x")


def serve() -> None:
    break_at_start()
    if FAULT == "fails in batches" and os.environ.get("SAGEMAKER_BATCH"):
        raise RuntimeError("no batches")
    if not MULTI:
        MODELS["model"] = Model(ML / "model")
    if FAULT == "writes to the model":
        (ML / "model/cache").write_text("x")
    if FAULT != "prints nothing":
        print("serving", flush=True)
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    if FAULT == "always takes 8080":
        port = 8080
    host = "127.0.0.1" if FAULT == "listens on localhost" else "0.0.0.0"
    ThreadingHTTPServer.request_queue_size = 64
    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    if FAULT == "ignores SIGTERM":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    serve()
