"""The trained network as the functions a SavedModel offers: logits become probabilities here."""

from functools import partial

import keras
import tensorflow as tf

from brain_tumor.training.foreign.detector import Detector
from brain_tumor.training.foreign.feature_maps import statistics, watch


class Servable(tf.Module):  # type: ignore[misc]
    """The signatures of the artifact; see the interface of `model/1/`.

    With a detector there is a third, `serving_scores`, which `serve` uses.
    """

    def __init__(
        self, network: keras.Model, temperature: float, size: int, detector: Detector | None = None
    ) -> None:
        super().__init__(name="brain_tumor")
        # TensorFlow saves what an attribute holds. Of a network it would declare each weight twice,
        # as Keras' variable and as the one within; TensorFlow Serving then fills one of the two
        # and reads the other. So the weights alone are held: it does not look into a `partial`.
        self.weights = [variable.value for variable in network.weights]
        self._logits = partial(network, training=False)
        self._temperature = temperature
        self._size = size
        images = tf.TensorSpec((None, size, size, 1), tf.float32, name="images")
        image_bytes = tf.TensorSpec((None,), tf.string, name="image_bytes")
        self.serving_default = tf.function(self._from_pixels, input_signature=[images])
        self.serving_bytes = tf.function(self._from_bytes, input_signature=[image_bytes])
        if detector is not None:
            self._watched = partial(watch(network), training=False)
            self._score = detector.score
            self.serving_scores = tf.function(self._scores, input_signature=[images])

    def _from_pixels(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """float32 (n, size, size, 1), 0-255 -> probabilities float32 (n, classes)."""
        logits = self._logits(images)
        return {"probabilities": tf.nn.softmax(logits / self._temperature)}

    def _scores(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """float32 (n, size, size, 1), 0-255 -> the same, and foreign float32 (n,), in one pass."""
        logits, *maps = self._watched(images)
        return {
            "probabilities": tf.nn.softmax(logits / self._temperature),
            "foreign": self._score(statistics(maps)),
        }

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
