"""The `small` backbone, trained from scratch: a residual CNN sized for two CPU cores.

Residual blocks after He et al. 2015 (arXiv 1512.03385) with pooled shortcuts after He et al. 2018
(arXiv 1812.01187), squeeze-and-excitation after Hu et al. 2018 (arXiv 1709.01507).
"""

from typing import Any

import keras
import tensorflow as tf

_STEM = 32
_STAGES = (32, 64, 128, 256)


def build_small(images: keras.KerasTensor) -> keras.KerasTensor:
    """Return the last feature map, (n, size / 32, size / 32, 256), of grey images 0-255."""
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(images)
    x = _conv(x, _STEM, kernel=5, strides=2)
    for filters in _STAGES:
        x = _residual_block(x, filters, strides=2)
    return x


@keras.saving.register_keras_serializable("brain_tumor")
class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Batch normalisation by TensorFlow's fused kernel.

    Keras 3 spells it out in eight operations; on a CPU that is half the time of a training step.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalise (n, height, width, channels) by the batch, or by the running statistics."""
        del mask  # images have none
        known = {} if training else {"mean": self.moving_mean, "variance": self.moving_variance}
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            tf.cast(self.gamma, tf.float32),
            tf.cast(self.beta, tf.float32),
            epsilon=self.epsilon,
            is_training=bool(training),
            **{name: tf.cast(value, tf.float32) for name, value in known.items()},
        )
        if training:
            self._follow(self.moving_mean, mean)
            self._follow(self.moving_variance, variance)
        return outputs

    def _follow(self, moving: keras.Variable, value: tf.Tensor) -> None:
        moving.assign(moving * self.momentum + value * (1 - self.momentum))


def _conv(x: keras.KerasTensor, filters: int, kernel: int, strides: int) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
    x = FusedBatchNormalization(momentum=0.9)(x)
    return keras.layers.Activation("relu")(x)


def _residual_block(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    shortcut = keras.layers.AveragePooling2D(strides, padding="same")(x)
    shortcut = keras.layers.Conv2D(filters, 1, use_bias=False)(shortcut)
    shortcut = FusedBatchNormalization(momentum=0.9)(shortcut)
    x = _conv(x, filters, kernel=3, strides=strides)
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = FusedBatchNormalization(momentum=0.9)(x)
    x = _squeeze_excite(x, filters)
    return keras.layers.Activation("relu")(keras.layers.Add()([x, shortcut]))


def _squeeze_excite(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = keras.layers.Conv2D(max(8, filters // 8), 1, activation="relu")(weights)
    weights = keras.layers.Conv2D(filters, 1, activation="sigmoid")(weights)
    return keras.layers.Multiply()([x, weights])
