"""training.network: the network itself, untrained."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from numpy.typing import NDArray

from brain_tumor.errors import DataError
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import (
    FEATURES,
    at_size,
    build_network,
    pretrained_digest,
    set_pretrained_weights,
)
from brain_tumor.training.small import FusedBatchNormalization

PARAMETERS = Hyperparameters(image_size=32, backbone="small")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Give the network that is trained from scratch."""
    keras.utils.set_random_seed(0)
    return build_network(PARAMETERS, classes=5)


@pytest.fixture
def policy() -> Iterator[None]:
    """Put the process's number type back afterwards."""
    before = keras.mixed_precision.global_policy()
    yield
    keras.mixed_precision.set_global_policy(before)


def _out(network: keras.Model, training: bool) -> NDArray[np.float32]:
    return np.asarray(network(IMAGES, training=training))


def test_pixels_go_in_and_one_finite_logit_a_class_comes_out(network: keras.Model) -> None:
    assert network.input_shape == (None, 32, 32, 1)
    logits = _out(network, training=False)
    assert logits.shape == (6, 5)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    # Not yet probabilities.
    assert not np.allclose(logits.sum(axis=1), 1)


@pytest.mark.parametrize("backbone", ["small", "efficientnetv2-b0"])
def test_the_same_network_sees_images_of_another_size(backbone: str) -> None:
    network, wanted = (
        build_network(Hyperparameters(image_size=size, backbone=backbone), classes=5)
        for size in (32, 64)
    )
    wanted.set_weights(network.get_weights())
    images = np.kron(IMAGES, np.ones((1, 2, 2, 1), np.float32))
    closer = at_size(network, 64)
    np.testing.assert_array_equal(
        closer(images, training=False), np.asarray(wanted(images, training=False))
    )
    assert {id(weight) for weight in closer.weights} == {id(weight) for weight in network.weights}


def test_serving_gives_the_same_answer_each_time_and_training_does_not(
    network: keras.Model,
) -> None:
    np.testing.assert_array_equal(_out(network, training=False), _out(network, training=False))
    assert not np.allclose(_out(network, training=True), _out(network, training=True))


def test_an_image_is_answered_the_same_alone_and_in_a_batch(network: keras.Model) -> None:
    together = _out(network, training=False)
    alone = np.concatenate(
        [np.asarray(network(IMAGES[n : n + 1], training=False)) for n in range(6)]
    )
    np.testing.assert_allclose(alone, together, atol=1e-5)


def _publish(network: keras.Model, file: Path) -> None:
    """Write weights in the format of the files that keras.applications publishes."""
    with h5py.File(file, "w") as group, warnings.catch_warnings():
        # Keras hands its variables to NumPy in a way that NumPy 2 warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        legacy_h5_format.save_weights_to_hdf5_group(group, network)


@pytest.mark.parametrize("backbone", ["small", "lite0", "efficientnetv2-b0"])
def test_a_backbone_ends_in_a_mean_over_its_map_and_a_linear_head(backbone: str) -> None:
    network = build_network(Hyperparameters(image_size=64, backbone=backbone), 3)
    assert network.input_shape == (None, 64, 64, 1)
    features = network.get_layer(FEATURES)
    assert isinstance(features, keras.layers.GlobalAveragePooling2D)
    assert features.input.shape[1:3] == (2, 2)
    assert network.layers[-1].kernel.shape == (features.output.shape[1], 3)


def test_fused_normalisation_computes_what_keras_computes() -> None:
    values = np.random.default_rng(1).normal(3, 2, (8, 5, 5, 4)).astype(np.float32)
    fused, plain = (
        FusedBatchNormalization(momentum=0.9),
        keras.layers.BatchNormalization(momentum=0.9),
    )
    for layer in (fused, plain):
        layer.build(values.shape)
        layer.set_weights([np.full(4, 1.5), np.full(4, 0.5), np.full(4, 0.1), np.full(4, 2.0)])
    for training in (True, False):
        np.testing.assert_allclose(
            fused(values, training=training), plain(values, training=training), atol=1e-2
        )
    # The fused kernel follows the unbiased variance: 200 values, so half a per cent more.
    for one, other in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=6e-3)


def test_weights_of_keras_applications_come_by_their_channel(tmp_path: Path) -> None:
    parameters = Hyperparameters(image_size=32, backbone="efficientnetv2-b0")
    published = keras.applications.EfficientNetV2B0(
        include_top=False, weights=None, input_shape=(32, 32, 3)
    )
    _publish(published, tmp_path / "efficientnetv2-b0_notop.h5")
    network = build_network(parameters, 3)
    set_pretrained_weights(network, parameters, tmp_path)
    inner = network.get_layer("efficientnetv2-b0")
    for ours, theirs in zip(inner.get_weights(), published.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_without_its_channel_a_backbone_of_keras_applications_is_refused() -> None:
    parameters = Hyperparameters(image_size=32, backbone="efficientnetv2-b0")
    network = build_network(parameters, 3)
    with pytest.raises(DataError, match=r"channel pretrained must hold .* found none"):
        set_pretrained_weights(network, parameters, None)


def test_weights_of_another_network_are_refused_with_the_files_name(tmp_path: Path) -> None:
    parameters = Hyperparameters(image_size=32, backbone="efficientnetv2-b0")
    _publish(build_network(PARAMETERS, 3), tmp_path / "other.h5")
    network = build_network(parameters, 3)
    with pytest.raises(DataError, match=r"other\.h5 holds no weights of efficientnetv2-b0"):
        set_pretrained_weights(network, parameters, tmp_path)


def test_files_of_other_weights_have_other_digests_and_what_reads_none_has_none(
    tmp_path: Path,
) -> None:
    def digest(weights: bytes, backbone: str = "efficientnetv2-b0") -> str | None:
        (tmp_path / "any_notop.h5").write_bytes(weights)
        parameters = Hyperparameters.model_validate({"backbone": backbone})
        return pretrained_digest(parameters, tmp_path)

    assert digest(b"one") == digest(b"one") != digest(b"other")
    assert digest(b"one", "lite0") is digest(b"one", "small") is None


def test_training_from_scratch_leaves_the_random_weights() -> None:
    network = build_network(PARAMETERS, 3)
    before = network.get_weights()
    set_pretrained_weights(network, PARAMETERS, None)
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.usefixtures("policy")
def test_with_mixed_precision_logits_and_weights_stay_in_float32(kind: str) -> None:
    keras.mixed_precision.set_global_policy(kind)
    network = build_network(PARAMETERS, classes=3)
    assert network.layers[-1].output.dtype == "float32"
    assert {weight.dtype for weight in network.trainable_weights} == {"float32"}
    assert network.layers[-2].compute_dtype == kind.removeprefix("mixed_")


@pytest.mark.parametrize("size", [32, 33, 128, 512])
def test_every_allowed_image_size_makes_a_network_of_the_same_weights(
    size: int, network: keras.Model
) -> None:
    other = build_network(Hyperparameters(image_size=size, backbone="small"), classes=5)
    assert other.input_shape == (None, size, size, 1)
    shapes = [tuple(weight.shape) for weight in other.trainable_weights]
    assert shapes == [tuple(weight.shape) for weight in network.trainable_weights]
