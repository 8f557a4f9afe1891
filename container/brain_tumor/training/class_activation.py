"""Class activation maps: which places of the last feature map speak for which class.

Zhou et al. 2015 (arXiv 1512.04150). The network ends in a mean over that map and a linear head, so
that a logit is a sum over places; for such a network Grad-CAM, before it cuts off what is below 0,
is the same map times the number of places (Selvaraju et al. 2017, arXiv 1610.02391, section 3.1).
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from brain_tumor.training.network import FEATURES, LOGITS


def class_activation(network: keras.Model) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Let a network that `build_network` made say what each place adds to each logit.

    Returns:
        float32 (n, size, size, 1) with values 0-255 -> logits (n, classes) and maps (n, height,
        width, classes) float32; a class's map sums to its logit without the head's bias.
    """
    pooled = network.get_layer(FEATURES).input
    watched = keras.Model(network.input, [network.output, pooled])
    kernel = network.get_layer(LOGITS).kernel
    height, width = pooled.shape[1:3]

    def logits_and_maps(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits, features = watched(images, training=False)
        maps = tf.matmul(tf.cast(features, tf.float32), tf.convert_to_tensor(kernel))
        return logits, maps / (height * width)

    return logits_and_maps
