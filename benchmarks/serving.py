"""Serve one model in several ways, side by side, and compare what a request costs.

    python -m benchmarks.serving MODEL_DIR SCANS.zip [--seconds 4] [--rounds 3]
                                 [--concurrency 1 4 16 64] [--servers NAME ...]

MODEL_DIR is a model folder, SCANS.zip holds scans (Test.zip of `brain-tumor prepare`). Every reply
is compared with what TensorFlow answers in float32. Servers take turns in each round: a busy
machine slows all of them. Figures are medians over the rounds. The steady figure is the processor
time a request; `ratio` is that of the first server, AWS's sample shape, divided by this one's.
"""

import argparse
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.load import drive
from benchmarks.processes import memory_mb, processor_seconds
from brain_tumor import artifact, images
from tests.server import free_port, request

_BIN = Path(sys.executable).parent
_SCANS = 64
_GUNICORN = [str(_BIN / "gunicorn"), "--log-level", "warning"]

SERVERS: dict[str, tuple[list[str], dict[str, str]]] = {
    "AWS sample's shape: 2 sync workers, signature": (
        [*_GUNICORN, "-k", "sync", "-w", "2", "benchmarks.peers.sample:app"],
        {},
    ),
    "Flask, 1 process, 16 threads, no batching": (
        [*_GUNICORN, "-k", "gthread", "--threads", "16", "benchmarks.peers.sample:app"],
        {},
    ),
    "serve, TensorFlow": ([str(_BIN / "serve")], {"BRAIN_TUMOR_ENGINE": "tensorflow"}),
    "serve, OpenVINO float32": ([str(_BIN / "serve")], {"BRAIN_TUMOR_PRECISION": "float32"}),
    "serve (default)": ([str(_BIN / "serve")], {}),
}


@dataclass(frozen=True)
class Figures:
    """One server at one concurrency, in one round."""

    requests_a_second: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    wrong: int
    ready_seconds: float
    memory_mb: float


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--servers", nargs="+", choices=list(SERVERS), default=list(SERVERS))
    arguments = parser.parse_args()
    bodies = _bodies(arguments.scans)
    expected = _expected(arguments.model_dir, bodies)
    rounds: dict[tuple[str, int], list[Figures]] = {}
    for _ in range(arguments.rounds):
        for name in arguments.servers:
            with _server(name, arguments.model_dir, bodies[0]) as (port, session, ready):
                for concurrency in arguments.concurrency:
                    figures = _measure(
                        port, session, ready, (bodies, expected), concurrency, arguments.seconds
                    )
                    rounds.setdefault((name, concurrency), []).append(figures)
    _print(rounds, arguments.servers[0])


def _bodies(scans: Path) -> list[bytes]:
    with zipfile.ZipFile(scans) as archive:
        names = [name for name in sorted(archive.namelist()) if name.endswith((".jpg", ".jpeg"))]
        step = max(1, len(names) // _SCANS)
        return [archive.read(name) for name in names[::step][:_SCANS]]


def _expected(model_dir: Path, bodies: Sequence[bytes]) -> list[list[float]]:
    size = artifact.load_info(model_dir).image_size
    pixels = np.stack([images.resize(images.decode(body), size) for body in bodies])
    probabilities = artifact.in_batches(artifact.load_predict(model_dir), pixels, 16)
    return [[float(p) for p in row] for row in probabilities]


@contextmanager
def _server(name: str, model_dir: Path, body: bytes) -> Iterator[tuple[int, int, float]]:
    """Start a server; give its port, its session and the seconds to its first prediction."""
    command, variables = SERVERS[name]
    port = free_port()
    if command[0].endswith("gunicorn"):
        command = [*command, "--bind", f"127.0.0.1:{port}"]
    environment = {
        **os.environ,
        "BENCHMARK_MODEL": str(model_dir),
        "SAGEMAKER_BASE_DIR": str(model_dir.parent),
        "PORT": str(port),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **variables,
    }
    start = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        while not _answers(port, body):
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with {process.returncode}")
            time.sleep(0.02)
        yield port, process.pid, time.monotonic() - start
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def _answers(port: int, body: bytes) -> bool:
    try:
        reply = request(port, "POST", "/invocations", body, {"Content-Type": "image/jpeg"})
    except OSError:
        return False
    return reply.status == 200


def _measure(
    port: int,
    session: int,
    ready: float,
    scans: tuple[Sequence[bytes], Sequence[Sequence[float]]],
    concurrency: int,
    seconds: float,
) -> Figures:
    # In a process of its own, so that the client's Python does not hold up this one.
    with multiprocessing.get_context("spawn").Pool(1) as client:
        # Before it counts, so that every shape and thread is set up.
        client.apply(drive, (port, *scans, concurrency, min(1.0, seconds)))
        before = processor_seconds(session)
        load = client.apply(drive, (port, *scans, concurrency, seconds))
        used = processor_seconds(session) - before
    latencies = 1000 * np.array(load.latencies)
    return Figures(
        requests_a_second=len(latencies) / load.seconds,
        cpu_ms=1000 * used / len(latencies),
        p50_ms=float(np.quantile(latencies, 0.5)),
        p99_ms=float(np.quantile(latencies, 0.99)),
        wrong=load.wrong,
        ready_seconds=ready,
        memory_mb=memory_mb(session),
    )


def _print(rounds: dict[tuple[str, int], list[Figures]], first: str) -> None:
    print(
        "| server | in flight | requests/s | CPU-ms a request | ratio | p50 ms | p99 ms | ready s "
        "| MB | wrong replies |\n|" + "---|" * 10
    )

    def median(key: tuple[str, int], name: str) -> float:
        return float(statistics.median(getattr(figures, name) for figures in rounds[key]))

    for key in rounds:
        name, concurrency = key
        ratio = median((first, concurrency), "cpu_ms") / median(key, "cpu_ms")
        print(
            f"| {name} | {concurrency} | {median(key, 'requests_a_second'):.0f} "
            f"| {median(key, 'cpu_ms'):.1f} | {ratio:.1f} | {median(key, 'p50_ms'):.1f} "
            f"| {median(key, 'p99_ms'):.1f} | {median(key, 'ready_seconds'):.1f} "
            f"| {median(key, 'memory_mb'):.0f} | {sum(f.wrong for f in rounds[key])} |"
        )


if __name__ == "__main__":
    main()
