"""OpenVINO reads the SavedModel itself; needs no TensorFlow."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from brain_tumor.serving.saved_model import default_signature
from brain_tumor.settings import Precision

_DEVICE = "CPU"
_TYPES = {"float32": ov.Type.f32, "bfloat16": ov.Type.bf16}


def load(model_dir: Path, precision: Precision, cores: int) -> tuple[artifact.ScoresFn, str, str]:
    """Compile the SavedModel for this processor.

    Args:
        model_dir: the model folder.
        precision: `auto` takes bfloat16 where it holds, see `engine.load_engine`.
        cores: threads of one prediction.

    Returns:
        The scores, the precision that was taken, and why.

    Raises:
        ArtifactError: OpenVINO cannot read or compile the graph, or gives other answers than those
            recorded with the model.
    """
    check = artifact.load_check(model_dir)
    with _our_error(model_dir):
        core = ov.Core()
        folder = model_dir / artifact.VERSION_FOLDER
        model = _read(core, folder, "serving_scores")
        reason = "float32 asked for" if precision == "float32" else _why_not_bfloat16(core, check)
        if precision == "bfloat16" or reason is None:
            exact = _compile(core, model, "float32", cores)
            first_look = _read(core, folder, "serving_first_look", "serving_scores")
            scores = exact_where_unclear(_compile(core, first_look, "bfloat16", cores), exact)
            if check:
                exact(check.images[:1])  # or the first that is not clear would wait for its set-up
            found = agreement.measure(scores, check) if check else None
            if precision == "bfloat16" or (found and found.holds(agreement.BFLOAT16_BOUND)):
                return scores, "bfloat16", f"the model's check: {found or 'none recorded'}"
            reason = f"bfloat16 does not hold the model's check: {found}"
        scores = _compile(core, model, "float32", cores)
    agreement.require(scores, check, "OpenVINO")
    return scores, "float32", str(reason)


def exact_where_unclear(fast: artifact.ScoresFn, exact: artifact.ScoresFn) -> artifact.ScoresFn:
    """Score by `fast`, and by `exact` what is not clear, or would perhaps not be to `exact`.

    An error of the logits moves a probability by p (1 - p) times as much: most where classes are
    about as probable, which is where it could change the label too. And what is not clear to
    `exact` is looked at twice.

    Args:
        fast: the first look, whose probabilities may be off by `agreement.BFLOAT16_BOUND`.
        exact: both looks.
    """
    surely_clear = artifact.CLEAR + agreement.BFLOAT16_BOUND

    def scores(pixels: NDArray[np.uint8]) -> artifact.Scores:
        first = fast(pixels)
        # One at a time: each further shape would cost time and memory.
        for row in np.flatnonzero(first.probabilities.max(axis=1) < surely_clear):
            second = exact(pixels[row : row + 1])
            first.probabilities[row], first.foreign[row] = (
                second.probabilities[0],
                second.foreign[0],
            )
        return first

    return scores


def _why_not_bfloat16(core: ov.Core, check: artifact.Check | None) -> str | None:
    if "BF16" not in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES"):
        return "the processor has no bfloat16"
    return None if check else "no check is recorded with the model"


def _read(core: ov.Core, folder: Path, *signatures: str) -> ov.Model:
    """Read the first of these signatures that a model has, or its default one.

    Models that were saved before there were two looks have no `serving_first_look`.
    """
    with ExitStack() as stack:
        copies = (stack.enter_context(default_signature(folder, name)) for name in signatures)
        model = core.read_model(next(filter(None, copies), folder))
    pixels = ov.preprocess.PrePostProcessor(model)
    # Cast within the graph: four times less to copy.
    pixels.input().tensor().set_element_type(ov.Type.u8)
    return pixels.build()


def _compile(core: ov.Core, model: ov.Model, precision: str, cores: int) -> artifact.ScoresFn:
    compiled = core.compile_model(
        model,
        _DEVICE,
        {
            hint.inference_precision(): _TYPES[precision],
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
