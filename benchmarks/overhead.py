"""What a request to `serve` costs beside decoding and inference: HTTP, threads, queue, reply, log.

    python -m benchmarks.overhead SCANS.zip [--seconds 4] [--rounds 3] [--concurrency 16]

The real application runs in gunicorn as `serve` runs it, before an engine that answers at once;
from the processor time of a request is taken what decoding and scaling its image costs. Medians.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import flask
import numpy as np
from numpy.typing import NDArray

from benchmarks.load import drive, questions
from benchmarks.servers import jpegs_of, running
from benchmarks.serving import measure
from benchmarks.stacks import INVOCATIONS, ROOT, Stack, install
from brain_tumor.images import decode, resize
from brain_tumor.scoring import Scores
from brain_tumor.serving.app import create_app
from brain_tumor.serving.batcher import Batcher
from brain_tumor.serving.classifier import Classifier
from brain_tumor.serving.holder import ModelHolder
from brain_tumor.serving.metrics import Metrics
from brain_tumor.settings import load_settings
from tests.classifiers import CLASS_NAMES, model_info

_CONFIG = "python:brain_tumor.serving.gunicorn_conf"
_STACK = Stack(("gunicorn", "--config", _CONFIG, "benchmarks.overhead:application()"), INVOCATIONS)
_SIZE = 208


def application() -> flask.Flask:
    """Return the application with the engine that answers at once."""

    def scores(pixels: NDArray[np.uint8]) -> Scores:
        even = np.full((len(pixels), len(CLASS_NAMES)), 1 / len(CLASS_NAMES), np.float32)
        return Scores(even, np.zeros(len(pixels), np.float32))

    metrics = Metrics()
    batcher = Batcher(scores, predicted=metrics.predicted)
    classifier = Classifier(batcher, model_info(image_size=_SIZE))
    return create_app(load_settings(), ModelHolder(metrics, classifier))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scans", type=Path)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=16)
    arguments = parser.parse_args()
    bodies = jpegs_of(arguments.scans)
    even = [[1 / len(CLASS_NAMES)] * len(CLASS_NAMES)] * len(bodies)
    load = INVOCATIONS, questions(INVOCATIONS, bodies, even, 1), arguments.concurrency
    whole, decoding = [], []
    folder = install(_STACK, ROOT / ".venv-peers")
    with TemporaryDirectory() as none, running(_STACK, folder, Path(none), bodies[0]) as server:
        for _ in range(arguments.rounds):
            found = measure(server, drive, load, arguments.seconds, 1)
            assert not found.wrong, found  # noqa: S101
            whole.append(found.cpu_ms)
            decoding.append(_decoding_ms(bodies))
    print("| processor time, ms a request | |\n|---|---|")
    print(f"| with an engine that answers at once | {np.median(whole):.2f} |")
    print(f"| of which decoding and scaling | {np.median(decoding):.2f} |")
    print(f"| the rest | {np.median(np.subtract(whole, decoding)):.2f} |")


def _decoding_ms(bodies: Sequence[bytes], times: int = 10) -> float:
    start = time.process_time()
    for body in [*bodies] * times:
        resize(decode(body), _SIZE)
    return 1000 * (time.process_time() - start) / times / len(bodies)


if __name__ == "__main__":
    main()
