"""The HTTP application: the only package that knows Flask."""

import logging
import os
import threading
from pathlib import Path

import flask

from brain_tumor.errors import BrainTumorError
from brain_tumor.resources import allowed_memory
from brain_tumor.serving.app.errors import add_errors
from brain_tumor.serving.app.routes import (
    add_model_routes,
    add_routes,
    add_routes_of_one_model,
    add_v1_routes,
)
from brain_tumor.serving.app.telemetry import add_telemetry
from brain_tumor.serving.holder import ModelHolder
from brain_tumor.serving.memory import MemoryBudget
from brain_tumor.serving.metrics import Metrics
from brain_tumor.serving.models import Models
from brain_tumor.settings import Settings, load_settings

log = logging.getLogger(__name__)

# gunicorn ends the whole server, with this exit code, when a worker exits with it.
_WORKER_BOOT_ERROR = 3


def create_app(settings: Settings | None = None, holder: ModelHolder | None = None) -> flask.Flask:
    """Build the application.

    Without a `holder` the model is loaded in the background: /ping answers 503 meanwhile, and a
    model that cannot be loaded ends the server, since it would never be healthy. A multi-model
    endpoint begins without a model.
    """
    settings = settings or load_settings()
    app = flask.Flask("brain_tumor", static_folder=None)
    # gunicorn has threads beyond these for /ping and for refusing (gunicorn_conf).
    places = threading.BoundedSemaphore(settings.threads - 1)
    if settings.multi_model:
        metrics = Metrics()
        add_model_routes(app, settings, _models(settings, metrics), places)
    else:
        holder = holder or _load_in_background(settings)
        metrics = holder.metrics
        add_routes_of_one_model(app, settings, holder, places)
        add_v1_routes(app, settings, holder, places)
    add_routes(app, settings, metrics)
    add_errors(app)
    add_telemetry(app, metrics)
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
