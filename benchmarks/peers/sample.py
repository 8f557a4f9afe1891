"""The shape of AWS's bring-your-own sample: Flask under synchronous workers, one prediction each.

Every worker loads the SavedModel and calls its default signature for one image at a time.
"""

import io
import os

import flask
import numpy as np
import tensorflow as tf
from PIL import Image

MODEL = os.environ["BENCHMARK_MODEL"]
_loaded = tf.saved_model.load(f"{MODEL}/1")
_predict = _loaded.signatures["serving_default"]
_size = _predict.structured_input_signature[1]["images"].shape[1]

app = flask.Flask(__name__)


@app.get("/ping")
def ping() -> flask.Response:
    """Answer once the module, and the model with it, is loaded."""
    return flask.Response(status=200)


@app.post("/invocations")
def invocations() -> flask.Response:
    """Decode, scale and predict one image."""
    image = Image.open(io.BytesIO(flask.request.get_data())).convert("RGB").convert("L")
    scaled = image.resize((_size, _size), Image.Resampling.BILINEAR)
    pixels = np.asarray(scaled, np.float32)[np.newaxis, ..., np.newaxis]
    probabilities = _predict(images=tf.constant(pixels))["probabilities"].numpy()[0]
    return flask.jsonify({"probabilities": [float(p) for p in probabilities]})
