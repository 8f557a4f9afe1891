"""TensorFlow runs the SavedModel: the reference, and the engine for GPUs."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.grappler import tf_optimizer

from brain_tumor import artifact, scoring
from brain_tumor.resources import has_bfloat16
from brain_tumor.scoring import ScoresFn
from brain_tumor.serving import agreement
from brain_tumor.serving.first_look import exact_where_doubtful, fastest
from brain_tumor.settings import Precision

_Signature = Callable[..., dict[str, tf.Tensor]]


def load(model_dir: Path, precision: Precision, cores: int) -> tuple[ScoresFn, str, str]:
    """Load the SavedModel and freeze what is served of it: weights become constants.

    Args:
        model_dir: the model folder.
        precision: `auto` takes bfloat16 for first looks where it holds, see `engine.load_engine`.
        cores: threads of one prediction.

    Returns:
        The scores, the precision that was taken, and why.

    Raises:
        ArtifactError: TensorFlow cannot read the SavedModel, or it gives other answers than those
            recorded with the model.
        SettingsError: the model or the processor lacks the precision that is asked for.
    """
    # Its threads are set up once, with the first operation of the process.
    with suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(cores)
    signatures, check = artifact.load_signatures(model_dir), artifact.load_check(model_dir)
    name = "serving_scores" if "serving_scores" in signatures else "serving_default"
    exact = scoring.scores_of({name: _frozen(signatures[name])})
    agreement.require(exact, check, "TensorFlow")
    looks = {"bfloat16": partial(_bfloat16_first_look, signatures)}
    fast, taken, why = fastest(precision, looks, check)
    if fast is None:
        return exact, taken, why
    return exact_where_doubtful(fast, exact, artifact.load_info(model_dir).thresholds), taken, why


def _bfloat16_first_look(signatures: dict[str, _Signature]) -> tuple[ScoresFn | None, str]:
    signature = signatures.get("serving_first_look")
    if tf.config.list_physical_devices("GPU"):
        return None, "the GPU computes in float32"
    if not has_bfloat16():
        return None, "the processor has no bfloat16"
    if signature is None:
        return None, "the model has no signature serving_first_look"
    return scoring.as_scores(_in_bfloat16(signature)), ""


def _frozen(signature: _Signature) -> _Signature:
    return _named(signature, convert_variables_to_constants_v2(signature))


def _in_bfloat16(signature: _Signature) -> _Signature:
    """Freeze a signature and let TensorFlow's own rewriter compute in bfloat16 what bears it.

    The rewriter is run here: as an option of the process it would rewrite the exact signature too.
    """
    frozen = convert_variables_to_constants_v2(signature)
    inputs, outputs = ([tensor.name for tensor in side] for side in (frozen.inputs, frozen.outputs))
    graph = tf.compat.v1.train.export_meta_graph(
        graph_def=frozen.graph.as_graph_def(), graph=frozen.graph
    )
    # What must not be optimised away.
    graph.collection_def["train_op"].node_list.value.extend(outputs)
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.auto_mixed_precision_onednn_bfloat16 = rewriter_config_pb2.RewriterConfig.ON
    rewritten = tf_optimizer.OptimizeGraph(config, graph)
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(rewritten, name=""), [])
    return _named(signature, imported.prune(inputs, outputs))


def _named(signature: _Signature, function: Callable[[tf.Tensor], list[tf.Tensor]]) -> _Signature:
    """Give the outputs of a function that was made of a signature their names again."""
    names = sorted(signature.structured_outputs)  # type: ignore[attr-defined]
    return lambda images: dict(zip(names, function(images), strict=True))
