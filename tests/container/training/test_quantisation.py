"""training.quantisation: an 8-bit copy of a network."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import openvino as ov
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training.foreign.feature_maps import watch
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_network
from brain_tumor.training.quantisation import quantised
from tests.scans import noise

SIZE, CLASSES = 64, 4
SCANS = np.stack([noise(seed, SIZE)[:, :SIZE] for seed in range(40)])


def _network(backbone: str) -> keras.Model:
    """Give an untrained network whose logits have a spread of one."""
    keras.utils.set_random_seed(2)
    network = build_network(Hyperparameters(backbone=backbone, image_size=SIZE), CLASSES)
    kernel, bias = network.layers[-1].get_weights()
    logits = _outputs(network)[0]
    spread = logits.std(axis=0).mean()
    network.layers[-1].set_weights([kernel / spread, bias - logits.mean(axis=0) / spread])
    return network


def _outputs(network: keras.Model) -> list[NDArray[np.float32]]:
    outputs = network(tf.constant(SCANS[..., np.newaxis], tf.float32), training=False)
    return [np.asarray(output) for output in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.fixture(scope="module", params=["lite0", "small"])
def network(request: pytest.FixtureRequest) -> keras.Model:
    """Give a network."""
    return _network(request.param)


def test_the_copy_gives_nearly_the_same_logits_and_maps_by_other_weights(
    network: keras.Model,
) -> None:
    watched = watch(network)
    copy = quantised(watched, SCANS[:32])
    assert copy is not None
    for given, wanted in zip(_outputs(copy), _outputs(watched), strict=True):
        error = (given - wanted).std() / wanted.std()
        assert 1e-4 < error < 0.25, given.shape


def test_the_network_itself_is_left_as_it_was(network: keras.Model) -> None:
    before, weights = _outputs(network), network.get_weights()
    quantised(network, SCANS)
    np.testing.assert_array_equal(_outputs(network), before)
    for now, then in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


def test_what_lies_beyond_the_ranges_that_were_seen_is_cut_off() -> None:
    dark = (SCANS // 8).astype(np.uint8)
    network = _network("lite0")
    seen_dark, seen_all = quantised(network, dark), quantised(network, SCANS)
    assert seen_dark is not None
    assert seen_all is not None

    def error(copy: keras.Model) -> float:
        return float(np.abs(_outputs(copy)[0] - _outputs(network)[0]).mean())

    assert error(seen_dark) > 2 * error(seen_all)


def test_a_nested_backbone_has_no_copy() -> None:
    images = keras.Input((SIZE, SIZE, 1))
    inner = keras.Sequential([keras.Input((SIZE, SIZE, 1)), keras.layers.Conv2D(2, 3)])
    pooled = keras.layers.GlobalAveragePooling2D()(inner(images))
    assert quantised(keras.Model(images, pooled), SCANS) is None


# Two of each block of `small` are those of a gate.
@pytest.mark.parametrize(("backbone", "over_places", "of"), [("lite0", 49, 49), ("small", 13, 21)])
def test_openvino_computes_every_convolution_over_places_in_8_bits(
    backbone: str, over_places: int, of: int, tmp_path: Path
) -> None:
    copy = quantised(_network(backbone), SCANS)
    assert copy is not None
    signature = tf.function(
        lambda images: {"logits": copy(images, training=False)},
        input_signature=[tf.TensorSpec((None, SIZE, SIZE, 1), tf.float32, name="images")],
    )
    module = tf.Module()
    module.call, module.weights = signature, [variable.value for variable in copy.weights]
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": signature})
    core = ov.Core()
    compiled: Any = core.compile_model(core.read_model(tmp_path), "CPU")
    kinds = [
        operation.get_rt_info()["primitiveType"].astype(str)
        for operation in compiled.get_runtime_model().get_ordered_ops()
        if "Convolution" in operation.get_rt_info()["layerType"].astype(str)
    ]
    assert len(kinds) == of
    assert len([kind for kind in kinds if "I8" in kind]) == over_places
