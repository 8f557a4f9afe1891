"""The sample's two routes."""

import json
import time
import traceback
from pathlib import Path

import flask

app = flask.Flask(__name__)


@app.errorhandler(500)
def show(_error: Exception) -> tuple[str, int]:
    return traceback.format_exc(), 500


@app.route("/ping", methods=["GET"])
def ping() -> flask.Response:
    return flask.Response("\n", 200, mimetype="application/json")


@app.route("/invocations", methods=["POST"])
def invoke() -> flask.Response:
    if flask.request.content_type != "text/csv":
        return flask.Response("This predictor only supports CSV data", 415, mimetype="text/plain")
    answer = json.loads(Path("/opt/ml/model/model.json").read_text())["answer"]
    numbers = [float(number) for number in flask.request.data.decode().split(",")]
    time.sleep(0.7)
    return flask.Response(f"{answer + sum(numbers)}\n", 200, mimetype="text/csv")
