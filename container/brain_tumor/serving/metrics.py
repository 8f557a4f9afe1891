"""What `GET /metrics` tells: requests, batches, the engine, the process; in Prometheus' text form.

Names follow https://prometheus.io/docs/practices/naming/.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from brain_tumor.serving.batcher import batch_sizes
from brain_tumor.serving.engine import Engine

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class Metrics:
    """Figures of this process; safe to call from several threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        # Of several models, how many each engine serves for the same reason.
        self._engine = Gauge(
            "brain_tumor_engine_info",
            "What predicts, and why.",
            ["name", "precision", "why"],
            registry=self._registry,
        )
        self._engines: Counter[tuple[str, str, str]] = Counter()
        self._changing = threading.Lock()
        self._ready = Gauge(
            "brain_tumor_ready",
            "1 once the model serves; of a multi-model endpoint the number of models.",
            registry=self._registry,
        )
        self._requests = Histogram(
            "brain_tumor_request_seconds",
            "From the head of a request to its reply; its count is that of the requests.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._stages = Histogram(
            "brain_tumor_stage_seconds",
            "Where time goes: read bodies, decode and scale images, queue and predict (of batches: "
            "the first image's wait, the engine's time), encode replies. A request may have more "
            "than one of each, so divide sums by the number of requests.",
            ["stage"],
            buckets=(0.0001, 0.0002, 0.0005, 0.001, *_SECONDS),
            registry=self._registry,
        )
        self._batches = Histogram(
            "brain_tumor_batch_images",
            "Images predicted together; its sum is that of the images.",
            buckets=batch_sizes(),
            registry=self._registry,
        )

    def serves(self, engine: Engine) -> Callable[[], None]:
        """Note that a model is loaded.

        Returns:
            What to call when it is unloaded: nothing is kept of it.
        """
        # Not the engine itself, which must be free to go.
        labels = (engine.name, engine.precision, engine.why)
        self._count(labels, 1)
        return partial(self._count, labels, -1)

    def _count(self, labels: tuple[str, str, str], change: int) -> None:
        with self._changing:
            self._engines[labels] += change
            self._ready.inc(change)
            if self._engines[labels]:
                self._engine.labels(*labels).set(self._engines[labels])
            else:
                self._engine.remove(*labels)
                del self._engines[labels]

    def predicted(self, images: int, queue_seconds: float, seconds: float) -> None:
        """Note a batch: how long its first image waited for it, and how long the engine took."""
        self._batches.observe(images)
        self._stages.labels("queue").observe(queue_seconds)
        self._stages.labels("predict").observe(seconds)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note how long the block takes, a stage of answering a request."""
        start = time.perf_counter()
        yield
        self._stages.labels(name).observe(time.perf_counter() - start)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Note a reply; `route` is one of the application's rules, not what was asked for."""
        self._requests.labels(route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Return all figures."""
        return generate_latest(self._registry)
