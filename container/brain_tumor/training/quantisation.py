"""An 8-bit copy of a trained network, for a first look that costs half as much.

Post-training quantisation after Jacob et al. 2018 (arXiv 1712.05877) and Krishnamoorthi 2018 (arXiv
1806.08342): symmetric weights with a scale for each output channel, activations with one range for
each convolution's input, read off training scans. Biases, additions and the head stay in float32.

The copy is written as TensorFlow's own operations (8-bit weights times their scale, `fake_quant`),
which OpenVINO recognises and computes in integers; TensorFlow computes the same numbers in float32.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_LARGEST = 127
_BATCH = 32

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


class Range(NamedTuple):
    """What a convolution's input was between; it holds 0, which padding needs to be exact."""

    low: float
    high: float


def quantised(network: keras.Model, scans: NDArray[np.uint8]) -> keras.Model | None:
    """Copy a network with its convolutions in 8 bits.

    Args:
        network: (n, size, size, 1) with values 0-255 -> logits, or logits and feature maps; a
            functional model.
        scans: (n, size, size) training scans, which the ranges are read off.

    Returns:
        A model of the same outputs; its weights are constants. None where no convolution is a layer
        of `network` itself, as in those of keras.applications, which are nested.
    """
    convolutions = [layer for layer in network.layers if _pays(layer)]
    if not convolutions:
        return None
    ranges = _ranges(network, convolutions, scans)

    def call(layer: keras.layers.Layer, *inputs: Any, **options: Any) -> Any:
        if layer.name in ranges:
            return _EightBit(layer, ranges[layer.name])(*inputs)
        return layer(*inputs, **options)

    return keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=call)


def _pays(layer: keras.layers.Layer) -> bool:
    """Whether it is a plain convolution over more than one place: those of gates cost little."""
    if not isinstance(layer, _CONVOLUTIONS) or layer.input.shape[1] == 1:
        return False
    plain = layer.data_format == "channels_last" and tuple(layer.dilation_rate) == (1, 1)
    return plain and 1 == getattr(layer, "groups", 1) == getattr(layer, "depth_multiplier", 1)


def _ranges(
    network: keras.Model, convolutions: list[keras.layers.Layer], scans: NDArray[np.uint8]
) -> dict[str, Range]:
    inputs = keras.Model(network.input, [layer.input for layer in convolutions])
    extremes: Callable[[tf.Tensor], tf.Tensor] = tf.function(
        lambda images: tf.stack(
            [(tf.reduce_min(x), tf.reduce_max(x)) for x in inputs(images, training=False)]
        ),
        input_signature=[tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)],
    )
    batches = [scans[start : start + _BATCH] for start in range(0, len(scans), _BATCH)]
    seen = np.stack(
        [extremes(tf.constant(batch[..., np.newaxis], tf.float32)).numpy() for batch in batches]
    )
    lows, highs = np.minimum(seen[..., 0].min(axis=0), 0), np.maximum(seen[..., 1].max(axis=0), 0)
    return {
        layer.name: Range(float(low), float(high))
        for layer, low, high in zip(convolutions, lows, highs, strict=True)
    }


class _EightBit(keras.layers.Layer):  # type: ignore[misc]
    """A convolution whose weights and input are rounded to 8 bits."""

    def __init__(self, layer: keras.layers.Layer, range_: Range) -> None:
        super().__init__(name=f"{layer.name}_8bit")
        self._range = range_
        self._strides = layer.strides
        self._padding = layer.padding.upper()
        self._activation = layer.activation
        self._depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        self._bias = None if layer.bias is None else layer.bias.numpy()
        kernel = layer.kernel.numpy()
        axes = (0, 1, 3) if self._depthwise else (0, 1, 2)
        # A kernel of zeros has no scale; any will do.
        largest = np.abs(kernel).max(axis=axes, keepdims=True)
        self._scale = (np.where(largest > 0, largest, 1) / _LARGEST).astype(np.float32)
        self._kernel = np.round(kernel / self._scale).astype(np.int8)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """(n, height, width, channels) float32 -> what the layer gives of it."""
        x = tf.quantization.fake_quant_with_min_max_vars(inputs, *self._range, num_bits=8)
        kernel = tf.cast(tf.constant(self._kernel), tf.float32) * tf.constant(self._scale)
        if self._depthwise:
            x = tf.nn.depthwise_conv2d(x, kernel, (1, *self._strides, 1), self._padding)
        else:
            x = tf.nn.conv2d(x, kernel, self._strides, self._padding)
        if self._bias is not None:
            x = x + tf.constant(self._bias)
        return self._activation(x)
