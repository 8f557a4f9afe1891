"""The trained network as the functions a SavedModel offers: logits become probabilities here."""

from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf

from brain_tumor.artifact import CLEAR
from brain_tumor.training.class_activation import class_activation
from brain_tumor.training.foreign.detector import Detector
from brain_tumor.training.foreign.feature_maps import statistics, watch
from brain_tumor.training.network import at_size

_CLOSER = 15 / 13
"""240 pixels instead of 208. Networks see better what is a little larger than in training, where
each scan was cropped and zoomed (Touvron et al. 2019, arXiv 1906.06423)."""


def second_look_size(size: int) -> int:
    """Return how large the second look is of scans of (size, size)."""
    return round(size * _CLOSER)


class Servable(tf.Module):  # type: ignore[misc]
    """The signatures of the artifact; see the interface of `model/1/`.

    `serving_heat_map` says which places of a scan spoke for which class. With a detector there are
    more, which `serve` uses: `serving_scores` and, for arithmetic that is fast but not exact,
    `serving_first_look` and `serving_first_look_8bit`.
    """

    def __init__(
        self,
        network: keras.Model,
        temperature: float,
        size: int,
        detector: Detector | None = None,
        eight_bit: keras.Model | None = None,
    ) -> None:
        """Offer a network's answers.

        Args:
            network: (n, size, size, 1) with values 0-255 -> logits.
            temperature: what the logits are divided by.
            size: height and width of the images.
            detector: of what is no brain MRI.
            eight_bit: the copy of `watch(network)` that `quantisation` makes.
        """
        super().__init__(name="brain_tumor")
        # TensorFlow saves what an attribute holds. Of a network it would declare each weight twice,
        # as Keras' variable and as the one within; TensorFlow Serving then fills one of the two
        # and reads the other. So the weights alone are held: it does not look into a `partial`.
        self.weights = [variable.value for variable in network.weights]
        self._logits = partial(network, training=False)
        self._closer_size = second_look_size(size)
        self._logits_closer = partial(at_size(network, self._closer_size), training=False)
        self._temperature = temperature
        self._size = size
        images = tf.TensorSpec((None, size, size, 1), tf.float32, name="images")
        image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
        self.serving_default = tf.function(self._from_pixels, input_signature=[images])
        self.serving_bytes = tf.function(self._from_bytes, input_signature=[image_bytes])
        heat_map = partial(self._heat_map, class_activation(network))
        self.serving_heat_map = tf.function(heat_map, input_signature=[images])
        if detector is not None:
            self._watched = partial(watch(network), training=False)
            self._score = detector.score
            self.serving_scores = tf.function(self._scores, input_signature=[images])
            look = partial(self._first_look, self._watched)
            self.serving_first_look = tf.function(look, input_signature=[images])
        if detector is not None and eight_bit is not None:
            look = partial(self._first_look, partial(eight_bit, training=False))
            self.serving_first_look_8bit = tf.function(look, input_signature=[images])

    def _from_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """float32 (n, size, size, 1), 0-255 -> probabilities float32 (n, classes)."""
        return {"probabilities": self._look_twice(images, self._logits(images))}

    def _scores(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """float32 (n, size, size, 1), 0-255 -> the same, and foreign float32 (n,)."""
        logits, *maps = self._watched(images)
        return {
            "probabilities": self._look_twice(images, logits),
            "foreign": self._score(statistics(maps)),
        }

    def _first_look(
        self, watched: Callable[[tf.Tensor], list[tf.Tensor]], images: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Give what `_scores` gives where the first look is clear."""
        logits, *maps = watched(images)
        return {
            "probabilities": self._probabilities(logits),
            "foreign": self._score(statistics(maps)),
        }

    def _heat_map(
        self,
        logits_and_maps: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        images: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """float32 (n, size, size, 1), 0-255 -> what each place adds to each logit.

        That is heat_maps float32 (n, height, width, classes), of logits that are not yet divided by
        the temperature; and probabilities float32 (n, classes), of the first look alone.
        """
        logits, maps = logits_and_maps(images)
        return {"probabilities": self._probabilities(logits), "heat_maps": maps}

    def _look_twice(self, images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Return the probabilities, of scans that are not clear after a second look.

        That is a look at the scan's mirror image, enlarged; the logits' mean is right more often
        than those of the scan alone, at over twice the cost, so it is only taken of what is not
        clear (docs/recipe.md).
        """
        unclear = tf.where(tf.reduce_max(self._probabilities(logits), axis=1) < CLEAR)

        def again() -> tf.Tensor:
            mirrored = tf.reverse(tf.gather_nd(images, unclear), axis=[2])
            closer = tf.image.resize(mirrored, (self._closer_size, self._closer_size))
            mean = (tf.gather_nd(logits, unclear) + self._logits_closer(closer)) / 2
            return tf.tensor_scatter_nd_update(logits, unclear, mean)

        # A condition, since TensorFlow's depthwise convolution refuses an empty batch.
        return self._probabilities(tf.cond(tf.shape(unclear)[0] > 0, again, lambda: logits))

    def _probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(logits / self._temperature)

    def _from_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded JPEG, PNG, GIF or BMP (n,) -> the same, for servers without our decoder.

        TensorFlow's decoder and scaling differ from Pillow's by up to three grey levels, and it
        does not turn an image as its EXIF says. `serve` does not use this signature.
        """
        images = tf.map_fn(self._decode, image_bytes, fn_output_signature=tf.float32)
        return self._from_pixels(tf.ensure_shape(images, (None, self._size, self._size, 1)))

    def _decode(self, data: tf.Tensor) -> tf.Tensor:
        colour = tf.cast(tf.io.decode_image(data, channels=3, expand_animations=False), tf.float32)
        # ITU-R 601-2, the weights that Pillow turns colour to grey with.
        grey = tf.round(tf.tensordot(colour, [[0.299], [0.587], [0.114]], axes=1))
        scaled = tf.image.resize(grey, (self._size, self._size), antialias=True)
        return tf.clip_by_value(tf.round(scaled), 0, 255)
