"""The HTTP routes: the only module that knows Flask."""

import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import flask
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header, parse_options_header

import brain_tumor
from brain_tumor.errors import (
    BrainTumorError,
    ImageError,
    ModelNotLoadedError,
    NotAcceptableError,
    NotReadyError,
    OverloadedError,
    PayloadError,
    SessionError,
)
from brain_tumor.images import Pixels, resize
from brain_tumor.logs import request_id
from brain_tumor.resources import allowed_cores, allowed_memory, resident_memory
from brain_tumor.serving import bodies, overlay, payloads, replies, transforms
from brain_tumor.serving.batcher import LARGEST_BATCH
from brain_tumor.serving.classifier import Classifier, Prediction, load_classifier
from brain_tumor.serving.memory import MemoryBudget
from brain_tumor.serving.metrics import CONTENT_TYPE, Metrics
from brain_tumor.serving.models import Listed, Models
from brain_tumor.settings import Settings, load_settings

log = logging.getLogger(__name__)

# gunicorn ends the whole server, with this exit code, when a worker exits with it.
_WORKER_BOOT_ERROR = 3
_RETRY_AFTER_SECONDS = "5"
_MAX_LOAD_MB = 0.1
_OPENAPI = resources.files("brain_tumor.serving").joinpath("openapi.json")
# What the caller of InvokeEndpoint gives to find the request again.
_INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
_PLAIN_ID = re.compile(r"[\x21-\x7e]{1,64}")
_REPLY_TYPES = (*replies.REPLY_TYPES, overlay.PNG)


class ModelHolder:
    """The classifier, once it is loaded and has predicted."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self._classifier: Classifier | None = None
        self._broken = False
        self._proving = threading.Lock()
        self.metrics = metrics or Metrics()

    def load(self, settings: Settings, folder: Path | None = None) -> None:
        """Load the model in `folder`, or in the one that the settings name.

        Raises:
            ArtifactError: the model cannot be read or run.
        """
        start = time.monotonic()
        self._classifier = load_classifier(folder or settings.model_dir, settings, self.metrics)
        log.info("Model ready after %.1f s", time.monotonic() - start)

    def close(self) -> None:
        """Free the model's memory once what was begun is answered."""
        if self._classifier:
            self._classifier.close()

    def get(self) -> Classifier:
        """Return the classifier.

        Raises:
            NotReadyError: it is still loading.
        """
        if self._classifier is None:
            raise NotReadyError("The model is still loading; ask again in a few seconds.")
        return self._classifier

    def classify(self, items: Iterator[bodies.Item]) -> Iterator[list[replies.Entry]]:
        """Classify what could be read, a batch at a time; what could not keeps its place.

        Each scan is scaled to the network's size before the next one is decoded.

        Raises:
            NotReadyError: it is still loading.
        """
        classifier = self.get()
        size = classifier.info.image_size
        while part := [
            item if isinstance(item, ImageError) else resize(item, size)
            for item in islice(items, LARGEST_BATCH)
        ]:
            yield self._classify(classifier, part)

    def _classify(self, classifier: Classifier, items: list[bodies.Item]) -> list[replies.Entry]:
        scans = [item for item in items if not isinstance(item, ImageError)]
        predictions = iter(self._predict(classifier, scans))
        return [item if isinstance(item, ImageError) else next(predictions) for item in items]

    def _predict(self, classifier: Classifier, scans: list[Pixels]) -> list[Prediction]:
        try:
            predictions = classifier.classify(scans)
        except BaseException:
            self._broken = True
            raise
        if scans:
            self._broken = False
        return predictions

    def draw_first(self, items: Iterator[bodies.Item]) -> bytes:
        """Classify the first scan and lay its heat map over it: a PNG.

        Raises:
            NotReadyError: it is still loading.
            ImageError: the scan cannot be read.
            NotAcceptableError: the model has no heat maps.
        """
        classifier = self.get()
        scan = next(items)
        if isinstance(scan, ImageError):
            raise scan
        evidence = classifier.evidence(scan)
        (prediction,) = self._predict(classifier, [scan])
        text = overlay.describe(prediction, classifier.info)
        return overlay.draw(scan, evidence[prediction.label], text)

    def check(self, hang_seconds: float) -> None:
        """Make sure that predictions can be given; after one that failed, by a real one.

        Raises:
            NotReadyError: it is still loading, or prediction is broken or hangs.
        """
        self.check_progress(hang_seconds)
        if self._broken:
            self._prove()

    def check_progress(self, hang_seconds: float) -> None:
        """Make sure that no prediction has been running for longer than that.

        Raises:
            NotReadyError: it is still loading, or one has.
        """
        running = self.get().running_seconds
        if running > hang_seconds:
            log.error("A prediction has been running for %.0f s", running)
            raise NotReadyError(f"A prediction has been running for {running:.0f} s.")

    def _prove(self) -> None:
        # One at a time: behind a long queue, pings would take every thread there is.
        if not self._proving.acquire(blocking=False):
            raise NotReadyError("Prediction was broken and is being tried.")
        try:
            self.get().warm_up()
        # Whatever the runtime raises: it is not healthy.
        except Exception as error:
            log.exception("Prediction is broken")
            raise NotReadyError("Prediction is broken; the log has the cause.") from error
        finally:
            self._proving.release()
        self._broken = False


def create_app(settings: Settings | None = None, holder: ModelHolder | None = None) -> flask.Flask:
    """Build the application.

    Without a `holder` the model is loaded in the background: /ping answers 503 meanwhile, and a
    model that cannot be loaded ends the server, since it would never be healthy. A multi-model
    endpoint begins without a model.
    """
    settings = settings or load_settings()
    app = flask.Flask("brain_tumor", static_folder=None)
    # One thread stays free, so that /ping never waits behind requests, however slow they come in.
    places = threading.BoundedSemaphore(settings.threads - 1)
    if settings.multi_model:
        metrics = Metrics()
        _add_model_routes(app, settings, _models(settings, metrics), places)
    else:
        holder = holder or _load_in_background(settings)
        metrics = holder.metrics
        _add_routes_of_one_model(app, settings, holder, places)
    _add_routes(app, settings, metrics)
    _add_errors(app)
    app.before_request(_note_start)
    app.after_request(_log_request)
    app.after_request(_name_request)
    app.after_request(partial(_count_request, metrics))
    return app


def _load_in_background(settings: Settings) -> ModelHolder:
    holder = ModelHolder()
    threading.Thread(target=_load_or_die, args=(holder, settings), daemon=True).start()
    return holder


def _models(settings: Settings, metrics: Metrics) -> Models[ModelHolder]:
    def load(folder: Path) -> ModelHolder:
        holder = ModelHolder(metrics)
        holder.load(settings, folder)
        return holder

    allowed = allowed_memory() if settings.memory_mb is None else settings.memory_mb * 1_000_000
    return Models(settings.models_dir, load, MemoryBudget(int(allowed)))


def _load_or_die(holder: ModelHolder, settings: Settings) -> None:
    try:
        holder.load(settings)
    except BrainTumorError as error:
        log.critical("The model cannot be served: %s", error)
        os._exit(_WORKER_BOOT_ERROR)
    except BaseException:
        log.critical("The model cannot be served", exc_info=True)
        os._exit(_WORKER_BOOT_ERROR)


def _add_routes(app: flask.Flask, settings: Settings, metrics: Metrics) -> None:
    @app.get("/")
    def index() -> dict[str, Any]:
        routes = sorted({rule.rule for rule in app.url_map.iter_rules()})
        return {"name": "brain-tumor", "version": brain_tumor.__version__, "routes": routes}

    @app.get("/openapi.json")
    def openapi() -> flask.Response:
        return flask.Response(_OPENAPI.read_bytes(), content_type="application/json")

    @app.get("/metrics")
    def figures() -> flask.Response:
        return flask.Response(metrics.text(), content_type=CONTENT_TYPE)

    @app.get("/execution-parameters")
    def execution_parameters() -> dict[str, str | int]:
        return transforms.execution_parameters(
            settings, settings.cores or allowed_cores(), allowed_memory(), resident_memory()
        )


def _add_routes_of_one_model(
    app: flask.Flask, settings: Settings, holder: ModelHolder, places: threading.BoundedSemaphore
) -> None:
    @app.route("/ping", methods=["GET", "POST"])
    def ping() -> flask.Response:
        holder.check(settings.hang_seconds)
        return flask.Response(status=200)

    @app.post("/invocations")
    def invocations() -> flask.Response:
        return _invoke(nullcontext(holder), settings, places)


def _add_model_routes(
    app: flask.Flask,
    settings: Settings,
    models: Models[ModelHolder],
    places: threading.BoundedSemaphore,
) -> None:
    """Add the routes of a multi-model endpoint (SageMaker's "Custom containers contract")."""

    @app.route("/ping", methods=["GET", "POST"])
    def ping() -> flask.Response:
        # Not by a prediction: one model that is broken must not cost the others their machine.
        for holder in models.all():
            holder.check_progress(settings.hang_seconds)
        return flask.Response(status=200)

    @app.route("/invocations", methods=["GET", "POST"])
    def invocations() -> flask.Response:
        raise ModelNotLoadedError(
            "SAGEMAKER_MULTI_MODEL is set, so there is no one model: POST to /models/NAME/invoke. "
            "Usual cause: an InvokeEndpoint without TargetModel."
        )

    @app.get("/models")
    def list_models() -> dict[str, Any]:
        page, token = models.page(flask.request.args.get("next_page_token", ""))
        listed = {"models": [_listed(model) for model in page]}
        return {**listed, "nextPageToken": token} if token else listed

    @app.post("/models")
    def load_model() -> dict[str, Any]:
        with _place(places), _body(flask.request, _MAX_LOAD_MB) as body:
            name, url = _name_and_url(body.whole())
            models.load(name, url)
        return _listed(Listed(name, url))

    @app.get("/models/<name>")
    def describe_model(name: str) -> dict[str, Any]:
        return _listed(models.describe(name))

    @app.delete("/models/<name>")
    def unload_model(name: str) -> dict[str, Any]:
        with _place(places):
            models.unload(name)
        return {}

    @app.post("/models/<name>/invoke")
    def invoke_model(name: str) -> flask.Response:
        return _invoke(models.use(name), settings, places)


def _listed(model: Listed) -> dict[str, Any]:
    return {"modelName": model.name, "modelUrl": model.url}


def _name_and_url(body: bytes) -> tuple[str, str]:
    document: Any = None
    with suppress(ValueError, RecursionError):
        document = json.loads(body)
    if isinstance(document, dict):
        name, url = document.get("model_name"), document.get("url")
        if isinstance(name, str) and isinstance(url, str):
            return name, url
    raise PayloadError('Wanted {"model_name": "<name>", "url": "<folder of the model>"}.')


def _invoke(
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
        held.enter_context(_place(places))
        body = held.enter_context(_body(flask.request, settings.max_body_mb))
        scans = payloads.read_body(
            body, settings.max_pixels, settings.max_images, settings.batch, settings.dicom_frames
        )
        if media_type == overlay.PNG:
            return flask.Response(holder.draw_first(scans.items), mimetype=media_type)
        pieces = replies.write_reply(
            holder.classify(scans.items),
            media_type,
            len(classifier.info.class_names),
            scans.is_volume,
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
def _place(places: threading.BoundedSemaphore) -> Iterator[None]:
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


def _body(request: flask.Request, max_mb: float) -> AbstractContextManager[bodies.Body]:
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


def _add_errors(app: flask.Flask) -> None:
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
