"""From decoded scans to labelled predictions. Knows no HTTP and opens no files."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brain_tumor import artifact, scoring
from brain_tumor.errors import ArtifactError
from brain_tumor.images import Pixels, resize
from brain_tumor.resources import allowed_cores
from brain_tumor.serving.batcher import LARGEST_BATCH, Batcher, batch_sizes, largest_batch
from brain_tumor.serving.engine import load_engine
from brain_tumor.serving.metrics import Metrics
from brain_tumor.serving.on_demand import OnDemand, unavailable
from brain_tumor.settings import Settings

log = logging.getLogger(__name__)

Decision = Literal["confident", "uncertain", "not_brain_mri"]


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one scan."""

    label: str
    probability: float
    """That of `label`."""
    probabilities: dict[str, float]
    """Every class in the order of class_names.json."""
    decision: Decision

    def as_json(self) -> dict[str, Any]:
        """Return the entry of a JSON reply."""
        return {
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "decision": self.decision,
        }


class Classifier:
    """A loaded model; safe to call from several threads."""

    def __init__(
        self,
        scores: scoring.ScoresFn,
        info: artifact.ModelInfo,
        heat_maps: scoring.HeatMapsFn = unavailable,
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        """Wrap an engine.

        Args:
            scores: the engine, or the batcher before it.
            info: the content of model.json.
            heat_maps: those of the same network.
            closed: called when it is closed.
        """
        self.info = info
        self._scores = scores
        self._heat_maps = heat_maps
        self._closed = closed

    @property
    def running_seconds(self) -> float:
        """How long the prediction or the heat map of now has been running; 0 where none is."""
        parts = self._scores, self._heat_maps
        timed = [part for part in parts if isinstance(part, Batcher | OnDemand)]
        return max((part.running_seconds for part in timed), default=0.0)

    def close(self) -> None:
        """End its thread once what waits is answered, and free the engine."""
        if isinstance(self._scores, Batcher):
            self._scores.close()
        self._heat_maps = unavailable
        self._closed()

    def classify(self, scans: Sequence[Pixels]) -> list[Prediction]:
        """Classify scans of any size, (height, width) uint8 0-255 each; one prediction a scan."""
        predictions: list[Prediction] = []
        # Scaled a batch at a time: a million small scans would not fit into memory scaled up.
        for start in range(0, len(scans), LARGEST_BATCH):
            part = [
                resize(scan, self.info.image_size) for scan in scans[start : start + LARGEST_BATCH]
            ]
            predictions += map(self._prediction, *self._scores(np.stack(part)))
        return predictions

    def evidence(self, scan: Pixels) -> dict[str, NDArray[np.float32]]:
        """Give what each place of a scan, (height, width) uint8 0-255, says for each class.

        Returns:
            By class (rows, columns) float32: the log-odds that the class would gain if every place
            were like this one. Their mean is its logit over the temperature, less the head's bias.

        Raises:
            NotAcceptableError: the model has no heat maps.
        """
        small = resize(scan, self.info.image_size)
        maps = np.moveaxis(self._heat_maps(small[np.newaxis]).maps[0], 2, 0)
        evidence = maps * np.float32(maps[0].size / self.info.temperature)
        return dict(zip(self.info.class_names, evidence, strict=True))

    def warm_up(self) -> None:
        """Run one real prediction, which also makes the runtime finish its set-up.

        Raises:
            ArtifactError: what comes out are no probabilities of the model's classes.
        """
        size = self.info.image_size
        row, foreign = self._scores(np.zeros((1, size, size), np.uint8))
        classes = len(self.info.class_names)
        if row.shape != (1, classes) or not np.isclose(row.sum(), 1, atol=1e-3):
            raise ArtifactError(
                f"The model answers {row.tolist()} to a black image; wanted {classes} "
                "probabilities that sum to 1. Usual cause: a graph and a model.json of two models."
            )
        if foreign.shape != (1,) or np.isnan(foreign).any():
            raise ArtifactError(
                f"The model scores a black image as foreign with {foreign.tolist()}; wanted one "
                "number. Usual cause: a training that diverged."
            )

    def _prediction(self, row: NDArray[np.float32], foreign: np.float32) -> Prediction:
        probabilities = dict(zip(self.info.class_names, map(float, row), strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        return Prediction(
            label=label,
            probability=probabilities[label],
            probabilities=probabilities,
            decision=self._decision(probabilities[label], float(foreign)),
        )

    def _decision(self, probability: float, foreign: float) -> Decision:
        # Of a picture that is no brain scan, a high probability means nothing.
        if foreign > self.info.thresholds.get("foreign", inf):
            return "not_brain_mri"
        return "confident" if probability >= self.info.thresholds["confident"] else "uncertain"


def load_classifier(
    model_dir: Path, settings: Settings, metrics: Metrics | None = None
) -> Classifier:
    """Load a model folder and prove with predictions that it works.

    Args:
        model_dir: the model folder.
        settings: engine, precision and cores are used.
        metrics: is told the engine, and each batch.

    Raises:
        ArtifactError: the folder is no model, or its graph cannot be read or run.
    """
    info = artifact.load_info(model_dir)
    cores = settings.cores or allowed_cores()
    engine = load_engine(model_dir, settings.engine, settings.precision, cores)
    log.info("Engine %s in %s on %d cores: %s", engine.name, engine.precision, cores, engine.why)
    Classifier(engine.scores, info).warm_up()
    largest = largest_batch(cores)
    engine.warm_up(info.image_size, batch_sizes(largest))
    metrics = metrics or Metrics()
    batcher = Batcher(engine.scores, largest, metrics.predicted)
    return Classifier(batcher, info, engine.heat_maps, metrics.serves(engine))
