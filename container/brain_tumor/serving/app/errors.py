"""Errors to replies."""

import logging

import flask
from werkzeug.exceptions import HTTPException

from brain_tumor.errors import BrainTumorError
from brain_tumor.logs import request_id
from brain_tumor.serving import replies

log = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = "5"


def add_errors(app: flask.Flask) -> None:
    """Answer every error with JSON, and tell of none more than its message."""

    @app.errorhandler(BrainTumorError)
    def ours(error: BrainTumorError) -> flask.Response:
        if error.status == 500:
            return unexpected(error)
        response = flask.jsonify(replies.error_body(error))
        response.status_code = error.status
        if error.status == 503:
            response.headers["Retry-After"] = _RETRY_AFTER_SECONDS
        return response

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> flask.Response:
        status = error.code or 500
        message = error.description or error.name
        code = error.name.lower().replace(" ", "_")
        response = flask.jsonify({"error": {"code": code, "message": message}})
        response.status_code = status
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> flask.Response:
        log.error("Error %s", request_id.get(), exc_info=error)
        message = f"Our own fault; the log has its cause under the id {request_id.get()}."
        response = flask.jsonify({"error": {"code": "internal_error", "message": message}})
        response.status_code = 500
        return response
