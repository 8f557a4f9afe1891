"""What is kept of each request: an id, a line in the log, a count in the metrics."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from functools import partial

import flask

from brain_tumor.logs import request_id
from brain_tumor.serving.metrics import Metrics

log = logging.getLogger(__name__)

# What the caller of InvokeEndpoint gives to find the request again.
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_PLAIN_ID = re.compile(r"[\x21-\x7e]{1,64}")


def add_telemetry(app: flask.Flask, metrics: Metrics) -> None:
    """Watch every request of the application."""
    app.before_request(_note_start)
    app.after_request(_log_request)
    app.after_request(_name_request)
    app.after_request(partial(_count_request, metrics))


def _note_start() -> None:
    flask.g.start = time.monotonic()
    given = flask.request.headers.get(_INFERENCE_ID, "")
    request_id.set(given if _PLAIN_ID.fullmatch(given) else secrets.token_hex(8))


def _name_request(response: flask.Response) -> flask.Response:
    response.headers["X-Request-Id"] = request_id.get()
    return response


def _count_request(metrics: Metrics, response: flask.Response) -> flask.Response:
    # Of what does not exist, not each name that someone tries.
    route = flask.request.url_rule.rule if flask.request.url_rule else "none"
    start = flask.g.start

    def count() -> None:
        metrics.answered(route, response.status_code, time.monotonic() - start)

    return _once_sent(response, count)


def _log_request(response: flask.Response) -> flask.Response:
    asked = flask.request.method, flask.request.path, response.status_code
    start = flask.g.start

    def write() -> None:
        milliseconds = 1000 * (time.monotonic() - start)
        fields = dict(zip(("method", "path", "status"), asked, strict=True))
        fields |= {"milliseconds": round(milliseconds, 1)}
        log.info("%s %s %d %.1f ms", *asked, milliseconds, extra={"fields": fields})

    # The platform pings every few seconds, and so does Prometheus: that would bury everything else.
    if flask.request.path in ("/ping", "/metrics"):
        return response
    return _once_sent(response, write)


def _once_sent(response: flask.Response, action: Callable[[], None]) -> flask.Response:
    """Act now, or, where predicting goes on while the reply is sent, at the end of that."""
    if response.is_streamed:
        response.call_on_close(action)
    else:
        action()
    return response
