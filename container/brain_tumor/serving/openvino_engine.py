"""OpenVINO reads the SavedModel itself; needs no TensorFlow."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import properties
from openvino.properties import hint

from brain_tumor import artifact, scoring
from brain_tumor.errors import ArtifactError
from brain_tumor.resources import has_vnni
from brain_tumor.scoring import HeatMapsFn, ScoresFn
from brain_tumor.serving import agreement
from brain_tumor.serving.first_look import exact_where_doubtful, fastest
from brain_tumor.serving.saved_model import default_signature
from brain_tumor.settings import Precision

_DEVICE = "CPU"

_Run = Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float32]]]
"""(n, size, size) uint8 0-255 -> a signature's outputs by name."""


@dataclass(frozen=True)
class _FirstLook:
    """A signature in fast arithmetic."""

    signature: str
    type: ov.Type
    """Of what is not in 8 bits within the graph."""
    possible: Callable[[ov.Core], bool]
    impossible: str
    """What to say where it is not possible."""


# The faster first, where both were measured (docs/serving.md).
_FIRST_LOOKS = {
    "int8": _FirstLook(
        "serving_first_look_8bit",
        ov.Type.f32,
        lambda _: has_vnni(),
        "the processor has no VNNI, without which sums of 8-bit products overflow",
    ),
    "bfloat16": _FirstLook(
        "serving_first_look",
        ov.Type.bf16,
        lambda core: "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"),
        "the processor has no bfloat16",
    ),
}


def load(model_dir: Path, precision: Precision, cores: int) -> tuple[ScoresFn, str, str]:
    """Compile the SavedModel for this processor.

    Args:
        model_dir: the model folder.
        precision: `auto` takes the fastest that holds, see `engine.load_engine`.
        cores: threads of one prediction.

    Returns:
        The scores, the precision that was taken, and why.

    Raises:
        ArtifactError: OpenVINO cannot read or compile the graph, or it gives other answers than
            those recorded with the model.
        SettingsError: the model or the processor lacks the precision that is asked for.
    """
    check = artifact.load_check(model_dir)
    _meet_numpy()
    # Side by side: to read, compile and check each takes half a second, most of it on one core.
    with _our_error(model_dir), ThreadPoolExecutor(1) as beside:
        graph = _Graph(model_dir / artifact.VERSION_FOLDER, cores)
        compiled = beside.submit(_exact, graph, check)
        looks = {name: partial(graph.first_look, look) for name, look in _FIRST_LOOKS.items()}
        fast, taken, why = fastest(precision, looks, check)
        exact = compiled.result()
    if fast is None:
        return exact, taken, why
    return exact_where_doubtful(fast, exact, artifact.load_info(model_dir).thresholds), taken, why


def _meet_numpy() -> None:
    """Let OpenVINO's bindings look NumPy up, which they do at their first array.

    Two threads that do so at once can wait for each other for ever: one holds the lock of a C++
    static and wants Python's, the other holds Python's and wants that lock (openvino 2026.4).
    """
    _ = ov.Tensor(ov.Type.u8, ov.Shape([1])).data


def load_heat_maps(model_dir: Path, cores: int) -> HeatMapsFn | None:
    """Compile the signature `serving_heat_map` in float32; None where the model has none.

    Raises:
        ArtifactError: OpenVINO cannot read or compile the graph.
    """
    with _our_error(model_dir):
        return _Graph(model_dir / artifact.VERSION_FOLDER, cores).heat_maps()


def _exact(graph: "_Graph", check: artifact.Check | None) -> ScoresFn:
    exact = graph.exact()
    agreement.require(exact, check, "OpenVINO")
    return exact


class _Graph:
    """A SavedModel, of which each signature may be compiled."""

    def __init__(self, folder: Path, cores: int) -> None:
        self._folder, self._cores = folder, cores
        self._core = ov.Core()

    def exact(self) -> ScoresFn:
        """Compile both looks in float32; of models that tell nothing foreign, the default one."""
        with default_signature(self._folder, "serving_scores") as copy:
            return _as_scores(self._compile(copy or self._folder, ov.Type.f32))

    def first_look(self, look: _FirstLook) -> tuple[ScoresFn | None, str]:
        """Compile a first look; None, and why, where model or processor lack it."""
        if not look.possible(self._core):
            return None, look.impossible
        with default_signature(self._folder, look.signature) as copy:
            if copy is None:
                return None, f"the model has no signature {look.signature}"
            return _as_scores(self._compile(copy, look.type)), ""

    def heat_maps(self) -> HeatMapsFn | None:
        """Compile the heat maps in float32; None where the model lacks them."""
        with default_signature(self._folder, "serving_heat_map") as copy:
            return _as_heat_maps(self._compile(copy, ov.Type.f32)) if copy else None

    def _compile(self, folder: Path, type_: ov.Type) -> _Run:
        pixels = ov.preprocess.PrePostProcessor(self._core.read_model(folder))
        # Cast within the graph: four times less to copy.
        pixels.input().tensor().set_element_type(ov.Type.u8)
        return _compile(self._core, pixels.build(), type_, self._cores)


def _compile(core: ov.Core, model: ov.Model, type_: ov.Type, cores: int) -> _Run:
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

    def run(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        request.infer([pixels[..., np.newaxis]])
        # Copies: the next call writes over the tensors.
        return {name: request.get_tensor(name).data.copy() for name in names}

    return run


def _as_scores(run: _Run) -> ScoresFn:
    def scores(pixels: NDArray[np.uint8]) -> scoring.Scores:
        outputs = run(pixels)
        not_foreign = np.full(len(pixels), -np.inf, np.float32)
        return scoring.Scores(outputs["probabilities"], outputs.get("foreign", not_foreign))

    return scores


def _as_heat_maps(run: _Run) -> HeatMapsFn:
    def heat_maps(pixels: NDArray[np.uint8]) -> scoring.HeatMaps:
        outputs = run(pixels)
        return scoring.HeatMaps(outputs["probabilities"], outputs["heat_maps"])

    return heat_maps


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
