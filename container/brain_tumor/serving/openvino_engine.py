"""OpenVINO reads the SavedModel itself; needs no TensorFlow."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import properties
from openvino.properties import hint

from brain_tumor import artifact
from brain_tumor.errors import ArtifactError
from brain_tumor.serving import agreement
from brain_tumor.serving.first_look import exact_where_doubtful
from brain_tumor.serving.saved_model import default_signature
from brain_tumor.settings import Precision

_DEVICE = "CPU"


@dataclass(frozen=True)
class _Arithmetic:
    """How a signature is computed."""

    signature: str
    type: ov.Type
    """Of what is not in 8 bits within the graph."""
    capability: str
    """What OpenVINO calls a processor's having it."""


_EXACT = _Arithmetic("serving_scores", ov.Type.f32, "FP32")
# The fastest first.
_FAST = {
    "int8": _Arithmetic("serving_first_look_8bit", ov.Type.f32, "INT8"),
    "bfloat16": _Arithmetic("serving_first_look", ov.Type.bf16, "BF16"),
}


def load(model_dir: Path, precision: Precision, cores: int) -> tuple[artifact.ScoresFn, str, str]:
    """Compile the SavedModel for this processor.

    Args:
        model_dir: the model folder.
        precision: `auto` takes the fastest that holds, see `engine.load_engine`.
        cores: threads of one prediction.

    Returns:
        The scores, the precision that was taken, and why.

    Raises:
        ArtifactError: OpenVINO cannot read or compile the graph, it gives other answers than those
            recorded with the model, or the model lacks the precision that is asked for.
    """
    check = artifact.load_check(model_dir)
    foreign = artifact.load_info(model_dir).thresholds.get("foreign", math.inf)
    reasons = ["float32 asked for"] if precision == "float32" else []
    with _our_error(model_dir):
        graph = _Graph(model_dir / artifact.VERSION_FOLDER, cores)
        exact = graph.compile(_EXACT)
        agreement.require(exact, check, "OpenVINO")
        for name in _FAST:
            if precision in ("auto", name):
                fast, why = _first_look(graph, name, check, asked_for=precision == name)
                if fast:
                    return exact_where_doubtful(fast, exact, foreign), name, why
                reasons.append(f"not {name}: {why}")
    if precision not in ("auto", "float32"):
        raise ArtifactError(
            f"BRAIN_TUMOR_PRECISION={precision}, but {'; '.join(reasons)}. Usual cause: a model "
            "of another backbone, or trained with an earlier version."
        )
    return exact, "float32", "; ".join(reasons)


def _first_look(
    graph: "_Graph", name: str, check: artifact.Check | None, asked_for: bool
) -> tuple[artifact.ScoresFn | None, str]:
    """Compile a first look, and say how it was checked; None, and why, where it is not to be used.

    One that is asked for is used however the check ends.
    """
    lack = graph.lack(_FAST[name])
    if lack is None and check is None and not asked_for:
        lack = "no check is recorded with the model"
    if lack:
        return None, lack
    fast = graph.compile(_FAST[name])
    error = agreement.first_look_error(fast, check) if check else math.nan
    holds = error <= agreement.FIRST_LOOK_BOUND
    found = f"log-odds off by {error:.2f}, {agreement.FIRST_LOOK_BOUND:.2f} allowed"
    said = "the model's check" if holds else "does not hold the model's check"
    return fast if holds or asked_for else None, f"{said}: {found}"


class _Graph:
    """A SavedModel, of which each signature may be compiled."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._folder, self._cores = folder, cores
        self._core = ov.Core()

    def lack(self, arithmetic: _Arithmetic) -> str | None:
        """Say why `arithmetic` cannot be had; None where it can."""
        if arithmetic.capability not in self._core.get_property(
            _DEVICE, "OPTIMIZATION_CAPABILITIES"
        ):
            return "the processor does not have it"
        with default_signature(self._folder, arithmetic.signature) as copy:
            return None if copy else "the model was saved without it"

    def compile(self, arithmetic: _Arithmetic) -> artifact.ScoresFn:
        """Compile a signature; of models that cannot tell what is foreign, the default one."""
        with default_signature(self._folder, arithmetic.signature) as copy:
            model = self._core.read_model(copy or self._folder)
        pixels = ov.preprocess.PrePostProcessor(model)
        # Cast within the graph: four times less to copy.
        pixels.input().tensor().set_element_type(ov.Type.u8)
        return _compile(self._core, pixels.build(), arithmetic.type, self._cores)


def _compile(core: ov.Core, model: ov.Model, type_: ov.Type, cores: int) -> artifact.ScoresFn:
    compiled = core.compile_model(
        model,
        _DEVICE,
        {
            hint.inference_precision(): type_,
            properties.inference_num_threads(): cores,
            # One batch at a time on all cores: the batcher calls from one thread.
            properties.num_streams(): 1,
            # The cores are the container's share, not cores that belong to it.
            hint.enable_cpu_pinning(): False,
        },
    )
    request = compiled.create_infer_request()
    names = {output.get_any_name() for output in compiled.outputs}

    def scores(pixels: NDArray[np.uint8]) -> artifact.Scores:
        request.infer([pixels[..., np.newaxis]])
        # Copies: the next call writes over the tensors.
        probabilities = request.get_tensor("probabilities").data.copy()
        if "foreign" not in names:
            return artifact.Scores(probabilities, np.full(len(pixels), -np.inf, np.float32))
        return artifact.Scores(probabilities, request.get_tensor("foreign").data.copy())

    return scores


@contextmanager
def _our_error(model_dir: Path) -> Iterator[Any]:
    try:
        yield
    # All that OpenVINO raises is a RuntimeError; its text is long and says where in its code.
    except RuntimeError as error:
        folder = model_dir / artifact.VERSION_FOLDER
        raise ArtifactError(
            f"The SavedModel in {folder} cannot be read by OpenVINO {ov.__version__}: {error}"
        ) from error
