"""Which route does what."""

import json
import re
import threading
from contextlib import nullcontext, suppress
from importlib import resources
from typing import Any

import flask

import brain_tumor
from brain_tumor.errors import ModelNotLoadedError, PayloadError
from brain_tumor.resources import allowed_cores, allowed_memory, resident_memory
from brain_tumor.serving import payloads, transforms
from brain_tumor.serving.app.invocation import body_of, invoke, place
from brain_tumor.serving.holder import ModelHolder
from brain_tumor.serving.metrics import CONTENT_TYPE, Metrics
from brain_tumor.serving.models import Listed, Models
from brain_tumor.settings import Settings

_OPENAPI = resources.files("brain_tumor.serving").joinpath("openapi.json")
_MAX_LOAD_MB = 0.1


def add_routes(app: flask.Flask, settings: Settings, metrics: Metrics) -> None:
    """Add those that every endpoint has."""

    @app.get("/")
    def index() -> dict[str, Any]:
        routes = sorted({rule.rule for rule in app.url_map.iter_rules()})
        return {"name": "brain-tumor", "version": brain_tumor.__version__, "routes": routes}

    @app.get("/openapi.json")
    def openapi() -> flask.Response:
        document = json.loads(_OPENAPI.read_bytes())
        # Of the routes for one model and for many, those that are here.
        rules = {re.sub("<(.+?)>", "{\\1}", rule.rule) for rule in app.url_map.iter_rules()}
        document["paths"] = {path: document["paths"][path] for path in sorted(rules)}
        return flask.jsonify(document)

    @app.get("/metrics")
    def figures() -> flask.Response:
        return flask.Response(metrics.text(), content_type=CONTENT_TYPE)

    @app.get("/execution-parameters")
    def execution_parameters() -> dict[str, str | int]:
        return transforms.execution_parameters(
            settings, settings.cores or allowed_cores(), allowed_memory(), resident_memory()
        )


def add_routes_of_one_model(
    app: flask.Flask, settings: Settings, holder: ModelHolder, places: threading.BoundedSemaphore
) -> None:
    """Add the routes of an endpoint that serves one model."""

    @app.route("/ping", methods=["GET", "POST"])
    def ping() -> flask.Response:
        holder.check(settings.hang_seconds)
        return flask.Response(status=200)

    @app.post("/invocations")
    def invocations() -> flask.Response:
        return invoke(nullcontext(holder), settings, places)


def add_v1_routes(
    app: flask.Flask, settings: Settings, holder: ModelHolder, places: threading.BoundedSemaphore
) -> None:
    """Add KServe's protocol v1, whose predictions are those of TensorFlow Serving's REST API."""

    @app.get("/v1/models")
    def list_names() -> dict[str, Any]:
        return {"models": [settings.model_name]}

    @app.get("/v1/models/<name>")
    def tell_readiness(name: str) -> dict[str, Any]:
        _refuse_other_names(settings, name)
        holder.check(settings.hang_seconds)
        return {"name": name, "ready": True}

    @app.post("/v1/models/<name>:predict")
    def predict(name: str) -> flask.Response:
        _refuse_other_names(settings, name)
        # Both take JSON of any type: `curl -d`, as in their examples, says that it is a form.
        flask.request.environ["CONTENT_TYPE"] = payloads.JSON
        return invoke(nullcontext(holder), settings, places)


def _refuse_other_names(settings: Settings, name: str) -> None:
    if name != settings.model_name:
        raise ModelNotLoadedError(
            f"There is no model {name[:200]!r}: the one that is served here is called "
            f"{settings.model_name!r}, after BRAIN_TUMOR_MODEL_NAME."
        )


def add_model_routes(
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

    @app.post("/invocations")
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
        with place(places), body_of(flask.request, _MAX_LOAD_MB) as body:
            name, url = _name_and_url(body.whole())
            models.load(name, url)
        return _listed(Listed(name, url))

    @app.get("/models/<name>")
    def describe_model(name: str) -> dict[str, Any]:
        return _listed(models.describe(name))

    @app.delete("/models/<name>")
    def unload_model(name: str) -> dict[str, Any]:
        with place(places):
            models.unload(name)
        return {}

    @app.post("/models/<name>/invoke")
    def invoke_model(name: str) -> flask.Response:
        return invoke(models.use(name), settings, places)


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
