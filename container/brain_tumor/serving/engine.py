"""The runtime behind the classifier: uint8 pixels in, scores out. Which one, and why."""

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from brain_tumor import artifact, scoring
from brain_tumor.errors import ArtifactError, SettingsError
from brain_tumor.serving import agreement
from brain_tumor.serving.on_demand import OnDemand, unavailable
from brain_tumor.settings import EngineName, Precision

log = logging.getLogger(__name__)

_GPU = Path("/dev/nvidia0")


@dataclass(frozen=True)
class Engine:
    """A loaded graph."""

    name: str
    precision: str
    why: str
    """Why this engine and this precision, for people; of few texts, since /metrics has it."""
    scores: scoring.ScoresFn
    heat_maps: scoring.HeatMapsFn = unavailable
    """Safe to call from several threads; loads its graph when it is first called."""

    def warm_up(self, size: int, batches: list[int]) -> None:
        """Run every batch size once: a runtime prepares each shape at its first use."""
        for count in batches:
            self.scores(np.zeros((count, size, size), np.uint8))


def load_engine(
    model_dir: Path, name: EngineName = "auto", precision: Precision = "auto", cores: int = 1
) -> Engine:
    """Load the SavedModel with the named engine.

    `auto` takes OpenVINO, which costs less processor time a scan and starts sooner, and TensorFlow
    where there is an NVIDIA GPU, where OpenVINO is not installed, or where it does not give this
    model's answers (docs/serving.md).

    Args:
        model_dir: the model folder.
        name: which engine.
        precision: of the arithmetic; `auto` takes int8, or else bfloat16, where processor and
            model have it and the model's own check holds (`agreement`).
        cores: threads of one prediction.

    Raises:
        ArtifactError: the SavedModel cannot be read, or is not answered as it was in training.
        SettingsError: the named engine is not installed, or does not compute in `precision`.
    """
    if name != "auto":
        if not _installed(name):
            raise SettingsError(
                f"BRAIN_TUMOR_ENGINE={name}, which is not installed here. Usual cause: the image "
                "that only serves has openvino alone."
            )
        load = _openvino if name == "openvino" else _tensorflow
        return load(model_dir, precision, cores, "BRAIN_TUMOR_ENGINE asks for it")
    if not _installed("tensorflow"):
        return _openvino(model_dir, precision, cores, "TensorFlow is not installed")
    if _GPU.exists():
        return _tensorflow(model_dir, precision, cores, "there is a GPU")
    if not _installed("openvino"):
        return _tensorflow(model_dir, precision, cores, "OpenVINO is not installed")
    try:
        return _openvino(model_dir, precision, cores, "the faster one on a processor")
    except ArtifactError as error:
        log.warning("OpenVINO does not serve this model: %s", error)
        return _tensorflow(model_dir, precision, cores, "OpenVINO does not serve this model")


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _openvino(model_dir: Path, precision: Precision, cores: int, why: str) -> Engine:
    from brain_tumor.serving import openvino_engine

    scores, taken, reason = openvino_engine.load(model_dir, precision, cores)
    load = partial(openvino_engine.load_heat_maps, model_dir, cores)
    heat_maps = _heat_maps(load, model_dir, "OpenVINO")
    return Engine("openvino", taken, f"{why}; {reason}", scores, heat_maps)


def _tensorflow(model_dir: Path, precision: Precision, cores: int, why: str) -> Engine:
    from brain_tumor.serving import tensorflow_engine

    scores, taken, reason = tensorflow_engine.load(model_dir, precision, cores)
    load = partial(artifact.load_heat_maps, model_dir)
    heat_maps = _heat_maps(load, model_dir, "TensorFlow")
    return Engine("tensorflow", taken, f"{why}; {reason}", scores, heat_maps)


def _heat_maps(
    load: Callable[[], scoring.HeatMapsFn | None], model_dir: Path, name: str
) -> OnDemand:
    def checked() -> scoring.HeatMapsFn | None:
        heat_maps = load()
        if heat_maps:
            agreement.require_heat_maps(heat_maps, artifact.load_check(model_dir), name)
        return heat_maps

    return OnDemand(checked)
