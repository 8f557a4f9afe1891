"""The shape of AWS's bring-your-own sample: Flask under synchronous workers, one request each.

Every worker loads the SavedModel and predicts what a request holds: a JPEG, or several in JSON.
"""

import base64
from typing import Any

import flask
import numpy as np

from benchmarks.peers.saved_model import SavedModel, answer

_model = SavedModel()
app = flask.Flask(__name__)


@app.get("/ping")
def ping() -> flask.Response:
    """Answer once the module, and the model with it, is loaded."""
    return flask.Response(status=200)


@app.post("/invocations")
def invocations() -> flask.Response:
    """Decode, scale and predict the images of a request."""
    if flask.request.mimetype == "application/json":
        document: Any = flask.request.get_json()
        bodies = [base64.b64decode(instance["b64"]) for instance in document["instances"]]
    else:
        bodies = [flask.request.get_data()]
    pixels = np.stack([_model.pixels(body) for body in bodies])
    return flask.jsonify(answer(_model.predict(pixels)))
