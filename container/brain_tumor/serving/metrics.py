"""What `GET /metrics` tells: requests, batches, the engine, the process; in Prometheus' text form.

Names follow https://prometheus.io/docs/practices/naming/.
"""

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    Histogram,
    Info,
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
        self._engine = Info(
            "brain_tumor_engine", "What predicts, and why.", registry=self._registry
        )
        self._ready = Gauge(
            "brain_tumor_ready", "1 once the model serves.", registry=self._registry
        )
        self._requests = Histogram(
            "brain_tumor_request_seconds",
            "From the head of a request to its reply; its count is that of the requests.",
            ["route", "status"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "brain_tumor_batch_images",
            "Images predicted together; its sum is that of the images.",
            buckets=batch_sizes(),
            registry=self._registry,
        )

    def serves(self, engine: Engine) -> None:
        """Note that a model is loaded."""
        self._engine.info({"name": engine.name, "precision": engine.precision, "why": engine.why})
        self._ready.set(1)

    def predicted(self, images: int) -> None:
        """Note a batch."""
        self._batches.observe(images)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Note a reply; `route` is one of the application's rules, not what was asked for."""
        self._requests.labels(route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Return all figures."""
        return generate_latest(self._registry)
