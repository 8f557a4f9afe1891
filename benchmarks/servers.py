"""A server of one of the stacks, started and ended; and what it is asked."""

import os
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.stacks import ROOT, Stack
from brain_tumor import artifact, images, scoring
from tests.server import request

_SCANS = 64
_READY_SECONDS = 120


@dataclass(frozen=True)
class Running:
    """A server that has answered once."""

    port: int
    session: int
    ready_seconds: float


def jpegs_of(scans: Path) -> list[bytes]:
    """Give 64 JPEGs of a zip of scans, or as many as there are, from all classes."""
    with zipfile.ZipFile(scans) as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith((".jpg", ".jpeg"))]
        step = max(1, len(names) // _SCANS)
        return [archive.read(name) for name in names[::step][:_SCANS]]


def expected_of(model_dir: Path, bodies: Sequence[bytes]) -> list[list[float]]:
    """Give the probabilities that TensorFlow answers to each image in float32."""
    size = artifact.load_info(model_dir).image_size
    pixels = np.stack([images.resize(images.decode(body), size) for body in bodies])
    probabilities = scoring.in_batches(artifact.load_predict(model_dir), pixels, 16)
    return [[float(p) for p in row] for row in probabilities]


@contextmanager
def running(stack: Stack, folder: Path, model_dir: Path, body: bytes) -> Iterator[Running]:
    """Start a server, wait for its first prediction, and end all its processes afterwards."""
    port = _free_port()
    command, variables = stack.filled(port, str(model_dir.resolve()))
    with TemporaryDirectory() as scratch:
        environment = {**_environment(folder, model_dir, port, scratch), **variables}
        start = time.monotonic()
        process = subprocess.Popen(
            [str(folder / command[0]), *command[1:]],
            env=environment,
            cwd=scratch,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        try:
            while not _answers(port, stack, body):
                waited = time.monotonic() - start
                if process.poll() is not None or waited > _READY_SECONDS:
                    raise SystemExit(f"{command}: {process.returncode} after {waited:.0f} s")
                time.sleep(0.02)
            yield Running(port, process.pid, time.monotonic() - start)
        finally:
            # What it started too, which may have outlived it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def _free_port() -> int:
    # Below the ephemeral ones, which Multi Model Server refuses; MLServer takes the next one too.
    for port in range(20_000, 32_000, 2):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise SystemExit("no port from 20000 to 32000 is free")


def _environment(folder: Path, model_dir: Path, port: int, scratch: str) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}/container:{ROOT}",
        "BENCHMARK_MODEL": str(model_dir.resolve()),
        "SAGEMAKER_BASE_DIR": str(model_dir.resolve().parent),
        "PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Multi Model Server writes there which process it is, and refuses to be a second one.
        "TMPDIR": scratch,
        "TEMP": scratch,
    }


def _answers(port: int, stack: Stack, body: bytes) -> bool:
    content_type, content = stack.protocol.request([body])
    headers = {"Content-Type": content_type}
    try:
        return request(port, "POST", stack.protocol.path, content, headers).status == 200
    except OSError:
        return False
