"""training.class_activation: what each place of the last feature map adds to each logit."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training.class_activation import class_activation
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import FEATURES, LOGITS, build_network
from tests.learnt import Learnt
from tests.scans import noise

SIZE, CLASSES = 64, 4
IMAGES = np.stack([noise(seed, SIZE)[:, :SIZE] for seed in range(6)])[..., np.newaxis].astype("f4")


def _grad_cam(network: keras.Model, images: NDArray[np.float32], label: int) -> NDArray[np.float32]:
    """Give Grad-CAM's sum over channels, before it is cut off at 0: (n, height, width).

    The weight of a channel is the mean over places of the logit's gradient (equation 1 of Selvaraju
    et al. 2017), by automatic differentiation.
    """
    pooled = network.get_layer(FEATURES).input
    watched = keras.Model(network.input, [network.output, pooled])
    with tf.GradientTape() as tape:
        logits, features = watched(images, training=False)
        gradients = tape.gradient(logits[:, label], features)
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    return np.asarray(tf.reduce_sum(weights * features, axis=3), np.float32)


@pytest.mark.parametrize("backbone", ["lite0", "small", "efficientnetv2-b0"])
def test_of_every_backbone_a_map_sums_to_the_logit_without_bias_and_is_grad_cam(
    backbone: str,
) -> None:
    keras.utils.set_random_seed(0)
    network = build_network(Hyperparameters(backbone=backbone, image_size=SIZE), CLASSES)
    head = network.get_layer(LOGITS)
    # Untrained, some say next to nothing; 1 becomes the largest logit without bias.
    head.kernel.assign(head.kernel / np.abs(network(IMAGES, training=False)).max())
    head.bias.assign([1.0, -2.0, 0.5, 3.0])
    logits, maps = map(np.asarray, class_activation(network)(IMAGES))
    assert maps.shape == (6, 2, 2, CLASSES)
    np.testing.assert_allclose(logits, network(IMAGES, training=False), atol=1e-5)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), logits - head.bias, atol=1e-5)
    for label in range(CLASSES):
        np.testing.assert_allclose(maps[..., label], _grad_cam(network, IMAGES, label), atol=1e-5)
    # Places differ, so that the agreement means something.
    assert maps.std(axis=(1, 2)).max() > 1e-3


def test_of_a_trained_network_it_is_grad_cam(learnt: Learnt) -> None:
    network = learnt.network
    images = learnt.channels.val.pixels[:][..., np.newaxis].astype(np.float32)
    # Larger than it was trained on, for more than one place.
    larger = np.kron(images, np.ones((1, 2, 2, 1), np.float32))
    parameters = Hyperparameters(backbone="small", image_size=larger.shape[1])
    same = build_network(parameters, len(learnt.channels.class_names))
    same.set_weights(network.get_weights())
    _, maps = map(np.asarray, class_activation(same)(larger))
    assert maps.shape[1:3] == (2, 2)
    for label in range(maps.shape[3]):
        wanted = _grad_cam(same, larger, label)
        np.testing.assert_allclose(maps[..., label], wanted, rtol=1e-3, atol=1e-4)


def test_a_bright_spot_is_found_where_it_is_drawn_by_a_network_that_looks_for_brightness() -> None:
    images = keras.Input((SIZE, SIZE, 1))
    cells = keras.layers.AveragePooling2D(8)(images)
    brightness = keras.layers.GlobalAveragePooling2D(name=FEATURES)(cells)
    kernel = keras.initializers.Constant([[1.0, -1.0]])
    logits = keras.layers.Dense(2, kernel_initializer=kernel, name=LOGITS)(brightness)
    scan = np.zeros((1, SIZE, SIZE, 1), np.float32)
    scan[0, 16:24, 40:48] = 200
    _, maps = map(np.asarray, class_activation(keras.Model(images, logits))(scan))
    wanted = np.zeros((8, 8), np.float32)
    wanted[2, 5] = 200 / 64
    np.testing.assert_allclose(maps[0, ..., 0], wanted, atol=1e-5)
    np.testing.assert_allclose(maps[0, ..., 1], -wanted, atol=1e-5)
