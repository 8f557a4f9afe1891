"""training.network: the network itself, untrained."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_augmentation, build_network

PARAMETERS = Hyperparameters(image_size=32)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Give a network with augmentation."""
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


def test_augmentation_varies_scans_in_training_only_and_keeps_them_in_range() -> None:
    augmentation = build_augmentation(seed=0)
    np.testing.assert_array_equal(augmentation(IMAGES, training=False), IMAGES)
    first, second = (np.asarray(augmentation(IMAGES, training=True)) for _ in range(2))
    assert first.shape == IMAGES.shape
    assert not np.allclose(first, IMAGES)
    assert not np.allclose(first, second)
    assert first.min() >= 0
    assert first.max() <= 255


def test_without_augmentation_only_dropout_and_batch_statistics_differ_in_training() -> None:
    plain = build_network(PARAMETERS.model_copy(update={"augment": False}), classes=5)
    names = [layer.name for layer in plain.layers]
    assert "augmentation" not in names
    assert "augmentation" in [layer.name for layer in build_network(PARAMETERS, 5).layers]


def test_both_variants_have_the_same_weights_in_the_same_order(network: keras.Model) -> None:
    plain = build_network(PARAMETERS.model_copy(update={"augment": False}), classes=5)
    plain.set_weights(network.get_weights())
    np.testing.assert_array_equal(_out(plain, training=False), _out(network, training=False))


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
    other = build_network(Hyperparameters(image_size=size), classes=5)
    assert other.input_shape == (None, size, size, 1)
    shapes = [tuple(weight.shape) for weight in other.trainable_weights]
    assert shapes == [tuple(weight.shape) for weight in network.trainable_weights]
