"""What every peer does alike: load the SavedModel, turn a JPEG into pixels, answer.

Peers run in environments of their own, without this project's package.
"""

import io
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

MODEL = os.environ["BENCHMARK_MODEL"]
"""The model folder."""

MOST = 16
"""The largest batch, for those that batch."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class SavedModel:
    """`model/1`, by its default signature or, as most tutorials do, by `model.predict`."""

    def __init__(self) -> None:
        """Load it and predict once, so that the first request finds it warm."""
        self._loaded: Any = tf.saved_model.load(f"{MODEL}/1")
        signature = self._loaded.signatures["serving_default"]
        self.size: int = signature.structured_input_signature[1]["images"].shape[1]
        keras_wanted = os.environ.get("BENCHMARK_PREDICT") == "keras"
        self.predict: Predict = _by_keras() if keras_wanted else _by_signature(signature)
        """Gives probabilities (n, classes) for images (n, size, size, 1), 0-255."""
        self.predict(np.zeros((1, self.size, self.size, 1), np.float32))

    def pixels(self, body: bytes) -> NDArray[np.float32]:
        """Return float32 (size, size, 1), 0-255."""
        image = Image.open(io.BytesIO(body)).convert("RGB").convert("L")
        scaled = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.asarray(scaled, np.float32)[..., np.newaxis]


def answer(probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """Return what is sent for probabilities (n, classes)."""
    return {"predictions": [{"probabilities": row.tolist()} for row in probabilities]}


def _by_signature(signature: Any) -> Predict:
    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = signature(images=tf.constant(images))[
            "probabilities"
        ].numpy()
        return probabilities

    return predict


def _by_keras() -> Predict:
    layer = keras.layers.TFSMLayer(f"{MODEL}/1", call_endpoint="serving_default")
    model: Any = keras.Sequential([layer])

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32] = model.predict(images, verbose=0)["probabilities"]
        return probabilities

    return predict
