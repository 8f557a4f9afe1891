"""A small `train` and `serve` that keep every rule, or break the one that FAULT names.

    python stub.py train|serve

With SAGEMAKER_BASE_DIR for /opt/ml. It needs the standard library alone.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
FAULT = os.environ.get("FAULT", "")
MULTI = os.environ.get("SAGEMAKER_MULTI_MODEL") == "true"
EPOCH_SECONDS = 0.1
KNOWN = {"epochs"}


class StoppedError(Exception):
    """SIGTERM came."""


# --- train


def read_hyperparameters() -> dict[str, str]:
    path = ML / "input/config/hyperparameters.json"
    if not path.exists() and FAULT != "needs hyperparameters":
        return {}
    given: dict[str, str] = json.loads(path.read_text())
    for name in set(given) - KNOWN:
        if name.startswith("sagemaker_") and FAULT != "refuses the SDK's keys":
            continue
        if name == "_tuning_objective_metric" and FAULT != "refuses the tuner's key":
            continue
        raise ValueError(f"unknown hyperparameter {name}")
    return given


def read_channels() -> list[Path]:
    config = ML / "input/config"
    if FAULT == "reads all config files":
        for path in config.glob("*.json"):
            if "emulated" in json.loads(path.read_text()):
                raise ValueError(f"{path} is not known")
    channels = json.loads((config / "inputdataconfig.json").read_text())
    files: list[Path] = []
    for name in channels:
        folder = ML / "input/data" / name
        if name in {"code", "sm_drivers"}:
            if FAULT == "takes code for data":
                raise ValueError(f"{name} holds no image")
            continue
        if FAULT == "needs every folder" and not folder.is_dir():
            raise FileNotFoundError(folder)
        files += [path for path in folder.rglob("*") if path.is_file()]
    return files


def number(text: str) -> int:
    value = text if FAULT == "takes quotes for text" else json.loads(text)
    return int(value)


def break_at_start(files: list[Path]) -> None:
    if FAULT == "cannot train":
        raise RuntimeError("nothing works here")
    if FAULT == "writes beside its data":
        (files[0].parent / "cache.bin").write_bytes(b"x")
    if FAULT == "writes in FastFile mode" and "FastFile" in config_text("inputdataconfig"):
        (files[0].parent / "cache.bin").write_bytes(b"x")
    if FAULT == "downloads at the start":
        download()
    if FAULT == "writes to its home":
        Path("/root/cache.bin").write_bytes(b"x")


def config_text(name: str) -> str:
    return (ML / f"input/config/{name}.json").read_text()


def train() -> None:
    given = read_hyperparameters()
    epochs = number(given.get("epochs", "5"))
    files = read_channels()
    if not files:
        raise ValueError("the channels hold no file")
    break_at_start(files)
    kept = ML / "checkpoints/epoch"
    first = int(kept.read_text()) if kept.exists() and FAULT != "begins anew" else 0
    if first:
        print(f"resumed from epoch {first}", flush=True)
    try:
        for epoch in range(first, epochs):
            learn(epoch, kept)
    except StoppedError:
        if FAULT != "saves nothing when stopped":
            save()
        sys.exit(1 if FAULT == "ends with 1 when stopped" else 0)
    if FAULT != "saves no model":
        save()


def learn(epoch: int, kept: Path) -> None:
    time.sleep(EPOCH_SECONDS)
    bar = "1/2 [=>..]\r2/2 [====] " if FAULT == "draws bars" else ""
    name = "lss" if FAULT == "prints no metric" else "loss"
    print(f"{bar}{name}={1 / (epoch + 1):.3f};", flush=FAULT != "holds its log back")
    if FAULT == "ignores SIGTERM in training":
        save()
    if kept.parent.exists() and FAULT != "keeps no checkpoint":
        part = kept.parent / ".part"
        part.write_text(str(epoch + 1))
        part.replace(kept)


def download() -> None:
    """Need what is outside of the container's own network."""
    socket.gethostbyname("outside")


def save() -> None:
    cluster = json.loads(config_text("resourceconfig"))
    if cluster["current_host"] != sorted(cluster["hosts"])[0] and FAULT != "saves on all hosts":
        return
    (ML / "model").mkdir(exist_ok=True)
    (ML / "model/weights.json").write_text(json.dumps({"answer": 42, "padding": "x" * 99}))
    if FAULT == "leaves a link":
        (ML / "model/latest").symlink_to("weights.json")


def lead_training() -> None:
    def stop(*_: object) -> None:
        raise StoppedError

    if FAULT == "ignores SIGTERM in training":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, stop)
    try:
        train()
    except Exception as error:
        if FAULT == "fails with exit code 0":
            write_failure(error)
            return
        write_failure(error)
        raise


def write_failure(error: Exception) -> None:
    if FAULT == "writes no failure file":
        return
    text = f"{type(error).__name__}: {error}"
    if FAULT == "begins with the traceback":
        text = f"Traceback (most recent call last):\n  File x\n{text}"
    (ML / "output").mkdir(exist_ok=True)
    (ML / "output/failure").write_text(text)


# --- serve


class Model:
    def __init__(self, folder: Path) -> None:
        path = folder / "weights.json"
        if FAULT == "healthy with a broken model":
            try:
                self.answer = json.loads(path.read_text())["answer"]
            except ValueError:
                self.answer = None
            return
        self.answer = json.loads(path.read_text())["answer"]


MODELS: dict[str, Model] = {}
LOCK = threading.Lock()
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

    def json(self, told: Any) -> None:
        self.reply(200, json.dumps(told), "application/json")

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
            told = {"MaxConcurrentTransforms": 2, "BatchStrategy": "SINGLE_RECORD"}
            self.json({**told, "MaxPayloadInMB": size})
        elif self.path.split("?")[0] == "/models" and MULTI:
            if FAULT == "lists no models":
                self.reply(404)
                return
            self.json({"models": [describe(name) for name in MODELS]})
        elif self.path.startswith("/models/") and MULTI:
            name = self.path.split("/")[2]
            if name in MODELS or FAULT == "describes every model":
                self.json(describe(name))
            else:
                self.reply(404)
        else:
            self.reply(404)

    def ping(self) -> None:
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
        if FAULT == "pings behind predictions":
            with BUSY:
                time.sleep(0.4)
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
        if self.headers["Content-Type"] != "application/json":
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
    return {"modelName": name, "modelUrl": f"/opt/ml/models/{name}/model"}


def serve() -> None:
    if FAULT == "cannot serve":
        raise RuntimeError("the model is of another version")
    if FAULT == "fails in batches" and os.environ.get("SAGEMAKER_BATCH"):
        raise RuntimeError("no batches")
    if not MULTI:
        MODELS["model"] = Model(ML / "model")
    if FAULT == "writes to the model":
        (ML / "model/cache").write_text("x")
    if FAULT == "needs a network to serve":
        download()
    if FAULT == "writes while it serves":
        (Path.home() / "lock").write_text("x")
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
    lead_training() if sys.argv[1] == "train" else serve()
