"""training.foreign.feature_maps: what the detector reads of a network."""

import keras
import numpy as np

from brain_tumor.training.foreign.feature_maps import read_statistics, statistics, watch
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_network
from tests.scans import noise

SIZE = 64


def test_one_map_of_each_resolution_is_watched() -> None:
    network = build_network(Hyperparameters(image_size=SIZE, augment=False), 4)
    logits, *maps = watch(network).output
    assert logits.shape == (None, 4)
    assert [values.shape[1] for values in maps] == [32, 16, 8, 4, 2]


def test_of_a_backbone_that_is_one_layer_the_pooled_map_is_watched() -> None:
    inside = keras.Input((SIZE, SIZE, 1))
    convolution = keras.layers.Conv2D(8, 3, 4, padding="same")
    backbone = keras.Model(inside, convolution(inside), name="backbone")
    images = keras.Input((SIZE, SIZE, 1))
    pooled = keras.layers.GlobalAveragePooling2D(name="features")(backbone(images))
    network = keras.Model(images, keras.layers.Dense(4)(pooled))
    scans = np.stack([noise(seed)[:SIZE, :SIZE] for seed in range(3)])
    pixels = scans[..., np.newaxis].astype(np.float32)
    logits, seen = watch(network)(pixels)
    np.testing.assert_allclose(logits, network(pixels), rtol=1e-5)
    np.testing.assert_allclose(seen, convolution(pixels), rtol=1e-4, atol=1e-4)


def test_statistics_are_mean_and_standard_deviation_of_each_channel() -> None:
    images = keras.Input((4, 4, 1))
    halved = keras.layers.AveragePooling2D(2, name="halved")(images)
    watched = watch(keras.Model(images, keras.layers.Flatten()(halved)))
    scans = np.random.default_rng(0).integers(0, 256, (40, 4, 4), dtype=np.uint8)
    pooled = scans.reshape(40, 2, 2, 2, 2).mean(axis=(2, 4))
    wanted = np.stack([pooled.mean(axis=(1, 2)), pooled.std(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(read_statistics(watched, scans), wanted, rtol=1e-4)
    both = statistics([pooled[..., np.newaxis], pooled[..., np.newaxis]])
    np.testing.assert_allclose(both, np.tile(wanted, 2), rtol=1e-4)
