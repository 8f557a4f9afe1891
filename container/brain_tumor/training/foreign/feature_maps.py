"""Statistics of a trained network's feature maps: what the detector reads of a picture."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

_BATCH = 32


def watch(network: keras.Model) -> keras.Model:
    """Let a network give, beside its logits, the feature maps that the detector reads.

    One map per resolution: the last of those with the fewest channels, which in networks of
    inverted residuals is a block's output. Of a backbone that is one layer of the network, as those
    of keras.applications are, only the map that the layer `features` pools.

    Args:
        network: (n, size, size, 1) -> logits, a functional Keras model.

    Returns:
        A model of the same layers: images -> [logits, map, ...], maps (n, height, width, channels).
    """
    chosen: dict[int, keras.KerasTensor] = {}
    for layer in network.layers:
        output = layer.output
        nested = isinstance(layer, keras.Model)
        if nested or not isinstance(output, keras.KerasTensor) or len(output.shape) != 4:
            continue
        height, channels = output.shape[1], output.shape[3]
        if 1 < height < network.input_shape[1]:
            narrowest = chosen.get(height)
            if narrowest is None or channels <= narrowest.shape[3]:
                chosen[height] = output
    maps = list(chosen.values()) or [network.get_layer("features").input]
    return keras.Model(network.input, [network.output, *maps])


def statistics(maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Give mean and standard deviation of every channel of every map: (n, statistics) float32."""
    each = [
        part
        for values in maps
        for part in (tf.reduce_mean(values, (1, 2)), tf.math.reduce_std(values, (1, 2)))
    ]
    return tf.concat(each, axis=1)


def read_statistics(watched: keras.Model, *parts: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run parts of (n, size, size) scans through a watched network: (all n, statistics) float32."""
    call = tf.function(
        lambda images: statistics(watched(images, training=False)[1:]),
        input_signature=[tf.TensorSpec((None, *watched.input_shape[1:]), tf.float32)],
    )
    batches = (
        pixels[start : start + _BATCH]
        for pixels in parts
        for start in range(0, len(pixels), _BATCH)
    )
    return np.concatenate(
        [call(tf.constant(batch[..., np.newaxis], tf.float32)).numpy() for batch in batches]
    )
