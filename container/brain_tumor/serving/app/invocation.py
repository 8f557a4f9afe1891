"""One invocation: a body in, predictions out."""

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import flask
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from brain_tumor.errors import NotAcceptableError, OverloadedError, SessionError
from brain_tumor.logs import request_id
from brain_tumor.serving import bodies, overlay, payloads, replies
from brain_tumor.serving.batcher import LARGEST_BATCH
from brain_tumor.serving.holder import ModelHolder
from brain_tumor.settings import Settings

log = logging.getLogger(__name__)

_REPLY_TYPES = (*replies.REPLY_TYPES, overlay.PNG)


def invoke(
    model: AbstractContextManager[ModelHolder],
    settings: Settings,
    places: threading.BoundedSemaphore,
) -> flask.Response:
    """Answer the request at hand with a model's predictions.

    A reply of many scans that can be written part by part is sent so. Its place stays taken, and
    its model and its body stay there, until it is sent or the client is gone; once the first part
    is predicted the status is settled, and whatever fails later breaks the connection off.
    """
    _refuse_sessions(flask.request)
    media_type = _reply_type(flask.request)
    with ExitStack() as held:
        holder = held.enter_context(model)
        classifier = holder.get()
        held.enter_context(place(places))
        with holder.metrics.stage("read"):
            body = held.enter_context(body_of(flask.request, settings.max_body_mb))
        with holder.metrics.stage("decode"):
            scans = payloads.read_body(
                body,
                settings.max_pixels,
                settings.max_images,
                settings.batch,
                settings.dicom_frames,
            )
        if media_type == overlay.PNG:
            return flask.Response(holder.draw_first(scans.items), mimetype=media_type)
        pieces = replies.write_reply(
            holder.classify(scans.items),
            media_type,
            len(classifier.info.class_names),
            scans.is_volume,
            partial(holder.metrics.stage, "encode"),
        )
        first = next(pieces)
        if scans.count <= LARGEST_BATCH or not replies.REPLY_TYPES[media_type].in_parts:
            return flask.Response(first, mimetype=media_type)
        response = flask.Response(_pieces(first, pieces), mimetype=media_type)
        response.call_on_close(held.pop_all().close)
        return response


def _pieces(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    try:
        yield from rest
    except Exception:
        log.exception("Error %s after the reply was begun", request_id.get())
        raise


@contextmanager
def place(places: threading.BoundedSemaphore) -> Iterator[None]:
    """Take one of the places for requests as long as the block lasts.

    Raises:
        OverloadedError: all are taken.
    """
    if not places.acquire(blocking=False):
        raise OverloadedError("All places are taken; ask again in a few seconds.")
    try:
        yield
    finally:
        places.release()


def _refuse_sessions(request: flask.Request) -> None:
    if request.headers.get("X-Amzn-SageMaker-Session-Id") == "NEW_SESSION":
        raise SessionError(
            "This endpoint keeps no sessions: each request is answered by itself. Leave SessionId "
            "out of invoke_endpoint."
        )


def body_of(request: flask.Request, max_mb: float) -> AbstractContextManager[bodies.Body]:
    """Read the body of a request; see `bodies.receive`."""
    media_type, parameters = parse_options_header(request.headers.get("Content-Type"))
    source = request.environ["wsgi.input"]
    return bodies.receive(source, request.content_length, max_mb, media_type.lower(), parameters)


def _reply_type(request: flask.Request) -> str:
    # InvokeEndpointWithResponseStream sends Accept under the other name; whether the platform
    # changes it back is not documented.
    asked = request.headers.get("X-Amzn-SageMaker-Accept") or request.headers.get("Accept", "")
    # Parameters such as charset change nothing of what is written.
    accepted = MIMEAccept(
        [(kind.partition(";")[0].strip(), q) for kind, q in parse_accept_header(asked, MIMEAccept)]
    )
    best = accepted.best_match(_REPLY_TYPES) if accepted else payloads.JSON
    if best is None:
        raise NotAcceptableError(
            f"Accept {asked[:200]!r} names nothing that can be given; wanted "
            f"one of: {', '.join(_REPLY_TYPES)}."
        )
    return best
