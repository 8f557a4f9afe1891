"""The servers that are compared: how each is installed, started and asked."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_BIN = Path(sys.executable).parent
_BOUNDARY = "a-scan-s-boundary"

Request = tuple[str, bytes]
"""Content-Type and body."""


@dataclass(frozen=True)
class Protocol:
    """How a stack takes JPEGs and gives probabilities."""

    path: str
    one: Callable[[bytes], Request]
    """Makes the request for one image."""
    many: Callable[[Sequence[bytes]], Request] | None
    """Makes the request for several; None where the stack takes one image a request."""
    probabilities: Callable[[Any], list[list[float]]]
    """From the JSON of a reply: a list for each image."""

    def request(self, bodies: Sequence[bytes]) -> Request:
        """Return the request for one image or for several."""
        if len(bodies) == 1:
            return self.one(bodies[0])
        if self.many is None:
            raise ValueError(f"{self.path} takes one image a request, not {len(bodies)}")
        return self.many(bodies)


@dataclass(frozen=True)
class Stack:
    """One way to serve."""

    command: tuple[str, ...]
    """The first word is a program of the environment; {port} and {model} are replaced in all."""
    protocol: Protocol
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of its environment; {port} and {model} are replaced here too."""
    packages: str | None = None
    """The list under benchmarks/peers that it is installed from; None: this environment."""

    def filled(self, port: int, model: str) -> tuple[list[str], dict[str, str]]:
        """Return command and variables for a port and a model folder."""

        def fill(text: str) -> str:
            return text.replace("{port}", str(port)).replace("{model}", model)

        variables = {name: fill(value) for name, value in self.variables.items()}
        return [fill(word) for word in self.command], variables


def install(stack: Stack, folder: Path) -> Path:
    """Return the bin of the environment a stack runs in, made under `folder` when it is absent."""
    if stack.packages is None:
        return _BIN
    venv = folder / stack.packages
    packages = ROOT / "benchmarks" / "peers" / f"{stack.packages}.txt"
    make_venv = ROOT / "local_test" / "make_venv.sh"
    environment = {**os.environ, "PYTHON": sys.executable}
    subprocess.run([make_venv, "--editable", venv, packages], env=environment, check=True)
    return venv / "bin"


def _jpeg(body: bytes) -> Request:
    return "image/jpeg", body


def _instances(bodies: Sequence[bytes]) -> Request:
    instances = [{"b64": base64.b64encode(body).decode()} for body in bodies]
    return "application/json", json.dumps({"instances": instances}).encode()


def _predictions(document: Any) -> list[list[float]]:
    given = [prediction["probabilities"] for prediction in document["predictions"]]
    return [list(p.values()) if isinstance(p, dict) else p for p in given]


def _form(body: bytes) -> Request:
    head = (
        f"--{_BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="request"; filename="scan.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    end = f"\r\n--{_BOUNDARY}--\r\n"
    return f"multipart/form-data; boundary={_BOUNDARY}", head.encode() + body + end.encode()


def _open_inference_one(body: bytes) -> Request:
    return _open_inference([body])


def _open_inference(bodies: Sequence[bytes]) -> Request:
    scans = {
        "name": "scans",
        "shape": [len(bodies), 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(body).decode() for body in bodies],
    }
    return "application/json", json.dumps({"inputs": [scans]}).encode()


def _outputs(document: Any) -> list[list[float]]:
    (output,) = document["outputs"]
    scans, classes = output["shape"]
    numbers = output["data"]
    return [numbers[scan * classes : (scan + 1) * classes] for scan in range(scans)]


INVOCATIONS = Protocol("/invocations", _jpeg, _instances, _predictions)
_ONE_JPEG = Protocol("/invocations", _jpeg, None, _predictions)
_FORM = Protocol("/invocations", _form, None, _predictions)
_V2 = Protocol("/v2/models/classifier/infer", _open_inference_one, _open_inference, _outputs)

_GUNICORN = ("gunicorn", "--log-level", "warning", "--bind", "127.0.0.1:{port}")
_MMS_SETTINGS = str(ROOT / "benchmarks" / "peers" / "mms.properties")
_MMS = ("multi-model-server", "--start", "--foreground", "--mms-config", _MMS_SETTINGS)
_BENTO = ("bentoml", "serve", "benchmarks.peers.bento:Classifier", "--host", "127.0.0.1")

STACKS: dict[str, Stack] = {
    "AWS sample's shape: 2 sync workers, signature": Stack(
        (*_GUNICORN, "-k", "sync", "-w", "2", "benchmarks.peers.sample:app"), INVOCATIONS
    ),
    "the same through model.predict": Stack(
        (*_GUNICORN, "-k", "sync", "-w", "2", "benchmarks.peers.sample:app"),
        INVOCATIONS,
        {"BENCHMARK_PREDICT": "keras"},
    ),
    "Flask, 1 process, 16 threads, no batching": Stack(
        (*_GUNICORN, "-k", "gthread", "--threads", "16", "benchmarks.peers.sample:app"),
        INVOCATIONS,
    ),
    "Multi Model Server, a worker a core": Stack(
        (*_MMS, "--model-store", "/", "--models", "model={model}"),
        _ONE_JPEG,
        {
            "MMS_INFERENCE_ADDRESS": "http://127.0.0.1:{port}",
            "MMS_MANAGEMENT_ADDRESS": "http://127.0.0.1:{port}",
        },
        packages="mms",
    ),
    "BentoML, 8 threads": Stack(
        (*_BENTO, "--port", "{port}"),
        _ONE_JPEG,
        {"BENTOML_DO_NOT_TRACK": "true"},
        packages="bento",
    ),
    "LitServe, batches": Stack(("python", "-m", "benchmarks.peers.lit"), _FORM, packages="lit"),
    "MLServer, batches": Stack(("python", "-m", "benchmarks.peers.v2"), _V2, packages="v2"),
    "serve, TensorFlow": Stack(("serve",), INVOCATIONS, {"BRAIN_TUMOR_ENGINE": "tensorflow"}),
    "serve, OpenVINO float32": Stack(("serve",), INVOCATIONS, {"BRAIN_TUMOR_PRECISION": "float32"}),
    "serve, OpenVINO bfloat16": Stack(
        ("serve",), INVOCATIONS, {"BRAIN_TUMOR_PRECISION": "bfloat16"}
    ),
    "serve (default)": Stack(("serve",), INVOCATIONS),
}
