"""A model that is served: loading, predicting, broken or hanging. Knows no HTTP."""

import logging
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from brain_tumor.errors import ImageError, NotReadyError
from brain_tumor.images import Pixels, resize
from brain_tumor.serving import bodies, overlay, replies
from brain_tumor.serving.batcher import LARGEST_BATCH
from brain_tumor.serving.classifier import Classifier, Prediction, load_classifier
from brain_tumor.serving.metrics import Metrics
from brain_tumor.settings import Settings

log = logging.getLogger(__name__)


class ModelHolder:
    """The classifier, once it is loaded and has predicted."""

    def __init__(
        self, metrics: Metrics | None = None, classifier: Classifier | None = None
    ) -> None:
        self._classifier = classifier
        self._broken = False
        self._proving = threading.Lock()
        self.metrics = metrics or Metrics()

    def load(self, settings: Settings, folder: Path | None = None) -> None:
        """Load the model in `folder`, or in the one that the settings name.

        Raises:
            ArtifactError: the model cannot be read or run.
        """
        start = time.monotonic()
        self._classifier = load_classifier(folder or settings.model_dir, settings, self.metrics)
        log.info("Model ready after %.1f s", time.monotonic() - start)

    def close(self) -> None:
        """Free the model's memory once what was begun is answered."""
        if self._classifier:
            self._classifier.close()

    def get(self) -> Classifier:
        """Return the classifier.

        Raises:
            NotReadyError: it is still loading.
        """
        if self._classifier is None:
            raise NotReadyError("The model is still loading; ask again in a few seconds.")
        return self._classifier

    def classify(self, items: Iterator[bodies.Item]) -> Iterator[list[replies.Entry]]:
        """Classify what could be read, a batch at a time; what could not keeps its place.

        Each scan is scaled to the network's size before the next one is decoded.

        Raises:
            NotReadyError: it is still loading.
        """
        classifier = self.get()
        size = classifier.info.image_size
        while part := self._decode(items, size):
            yield self._classify(classifier, part)

    def _decode(self, items: Iterator[bodies.Item], size: int) -> list[bodies.Item]:
        with self.metrics.stage("decode"):
            return [
                item if isinstance(item, ImageError) else resize(item, size)
                for item in islice(items, LARGEST_BATCH)
            ]

    def _classify(self, classifier: Classifier, items: list[bodies.Item]) -> list[replies.Entry]:
        scans = [item for item in items if not isinstance(item, ImageError)]
        predictions = iter(self._predict(classifier, scans))
        return [item if isinstance(item, ImageError) else next(predictions) for item in items]

    def _predict(self, classifier: Classifier, scans: list[Pixels]) -> list[Prediction]:
        try:
            predictions = classifier.classify(scans)
        except BaseException:
            self._broken = True
            raise
        if scans:
            self._broken = False
        return predictions

    def draw_first(self, items: Iterator[bodies.Item]) -> bytes:
        """Classify the first scan and lay its heat map over it: a PNG.

        Raises:
            NotReadyError: it is still loading.
            ImageError: the scan cannot be read.
            NotAcceptableError: the model has no heat maps.
        """
        classifier = self.get()
        scan = next(items)
        if isinstance(scan, ImageError):
            raise scan
        evidence = classifier.evidence(scan)
        (prediction,) = self._predict(classifier, [scan])
        text = overlay.describe(prediction, classifier.info)
        return overlay.draw(scan, evidence[prediction.label], text)

    def check(self, hang_seconds: float) -> None:
        """Make sure that predictions can be given; after one that failed, by a real one.

        Raises:
            NotReadyError: it is still loading, or prediction is broken or hangs.
        """
        self.check_progress(hang_seconds)
        if self._broken:
            self._prove()

    def check_progress(self, hang_seconds: float) -> None:
        """Make sure that no prediction or heat map has been running for longer than that.

        Raises:
            NotReadyError: it is still loading, or one has.
        """
        running = self.get().running_seconds
        if running > hang_seconds:
            log.error("A prediction or heat map has been running for %.0f s", running)
            raise NotReadyError(f"A prediction or heat map has been running for {running:.0f} s.")

    def _prove(self) -> None:
        # One at a time: behind a long queue, pings would take every thread there is.
        if not self._proving.acquire(blocking=False):
            raise NotReadyError("Prediction was broken and is being tried.")
        try:
            self.get().warm_up()
        # Whatever the runtime raises: it is not healthy.
        except Exception as error:
            log.exception("Prediction is broken")
            raise NotReadyError("Prediction is broken; the log has the cause.") from error
        finally:
            self._proving.release()
        self._broken = False
