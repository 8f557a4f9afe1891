"""Rules of serverless and multi-model endpoints."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_test.emulator.check.asking import Asked
from local_test.emulator.check.rule import (
    NotTestedError,
    Outcome,
    Rules,
    failed,
    judged,
    not_applicable,
)
from local_test.emulator.check.rules_image import MULTI_MODEL
from local_test.emulator.check.serving import MODEL, Serving, Started
from local_test.emulator.hosting.serverless import HEALTHY_SECONDS, ServerlessConfig

KINDS: Rules[Serving] = Rules("an endpoint")
MODELS: Rules[Serving] = Rules("a multi-model endpoint")

_SERVERLESS = "serverless-endpoints"
_MODELS = "mms-container-apis"
_OTHER = "a1" * 16


@KINDS.rule(
    "SERVERLESS-01",
    "It serves as another user than root, with nothing to write but /tmp and no /dev/shm.",
    source=f"{_SERVERLESS}; mlflow issue 5544",
    why="Serverless endpoints run the image so: one that writes to $HOME or /etc, has files that "
    "root alone can read, or needs shared memory, does not start. Write to /tmp, chmod -R o+rX.",
)
def _serverless(serving: Serving) -> Outcome:
    if not serving.hosted.contained:
        return not_applicable("without Docker there is no other user and no read-only root")
    payload = serving.payload()
    options = ServerlessConfig().options(serving.cpus())
    started = serving.start(isolated=True, options=options, healthy=HEALTHY_SECONDS)
    asked = serving.invoke(payload, started) if started.healthy_after is not None else None
    serving.end(started)
    return judged(asked is not None and asked.status == 200, asked.seen if asked else started.why)


@dataclass(frozen=True)
class Models:
    """A multi-model endpoint with two models that can be loaded, and what it answers."""

    serving: Serving
    started: Started

    def ask(self, method: str, path: str, told: Any = None) -> Asked:
        """Ask with a JSON body, or none."""
        body = None if told is None else json.dumps(told).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return self.serving.ask(method, path, body, headers, of=self.started)

    def load(self, name: str) -> Asked:
        """Load a model."""
        url = f"{self.started.server.ml}/models/{name}/model"
        return self.ask("POST", "/models", {"model_name": name, "url": url})

    def invoke(self, name: str) -> Asked:
        """Ask a model for an answer."""
        payload = self.serving.payload()
        return self.serving.ask(
            "POST", f"/models/{name}/invoke", payload.body, payload.headers, of=self.started
        )

    def loaded(self) -> dict[str, str] | None:
        """Return what GET /models lists; None if it is not what the contract says."""
        try:
            models = json.loads(self.ask("GET", "/models").body)["models"]
            return {model["modelName"]: model["modelUrl"] for model in models}
        except (ValueError, KeyError, TypeError):
            return None


def _announced(serving: Serving) -> bool:
    return serving.hosted.labels.get(MULTI_MODEL) == "true"


def _models(serving: Serving) -> Models:
    if serving.hosted.contained and not _announced(serving):
        raise NotTestedError(f"there is no label {MULTI_MODEL}=true")
    started = serving.multi_model()
    if started.healthy_after is None:
        raise NotTestedError("`serve` was not healthy with SAGEMAKER_MULTI_MODEL=true (MULTI-01)")
    models = Models(serving, started)
    if not serving.hosted.contained and models.loaded() is None:
        # What has no label may still load models.
        if models.load(MODEL).status == 404:
            raise NotTestedError("a command has no label, and this one knows no /models")
        models.ask("DELETE", f"/models/{MODEL}")
    return models


def _all(*steps: tuple[str, Callable[[], Asked], int]) -> Outcome:
    """Go through steps, each with the status that is wanted; the first other one fails."""
    for what, ask, wanted in steps:
        if (asked := ask()).status != wanted:
            return failed(f"{what}: wanted {wanted}, {asked.seen}")
    return judged(True, "; ".join(f"{what} {wanted}" for what, _, wanted in steps))


@MODELS.rule(
    "MULTI-01",
    "GET /models lists the loaded models, from the start on.",
    source=_MODELS,
    why="It is asked at the start as well: a 404, or JSON without `models`, makes the endpoint "
    'fail. Answer {"models": [{"modelName": …, "modelUrl": …}]}.',
)
def _lists(serving: Serving) -> Outcome:
    if _announced(serving) and serving.multi_model().healthy_after is None:
        return failed(serving.multi_model().why)
    models = _models(serving)
    before = models.loaded()
    asked = models.load(MODEL)
    after = models.loaded()
    models.ask("DELETE", f"/models/{MODEL}")
    if asked.status != 200:
        return judged(before is not None, f"before: {before}")
    right = before is not None and MODEL in (after or {})
    return judged(right, f"before: {before}; after: {after}")


@MODELS.rule(
    "MULTI-02",
    "POST /models loads a model: 200, and 409 for one that is loaded.",
    source=_MODELS,
    why="With another status the platform takes the model for one that cannot be loaded, or loads "
    "it again and again. Answer these two, and 507 when there is no memory.",
)
def _loads(serving: Serving) -> Outcome:
    models = _models(serving)
    outcome = _all(
        ("load", lambda: models.load(MODEL), 200), ("load again", lambda: models.load(MODEL), 409)
    )
    models.ask("DELETE", f"/models/{MODEL}")
    return outcome


@MODELS.rule(
    "MULTI-03",
    "POST /models/NAME/invoke answers for a loaded model, and 404 for another.",
    source=_MODELS,
    why="404 is how the platform learns that it has to load the model first. Look the name up "
    "before the body is read.",
)
def _invokes(serving: Serving) -> Outcome:
    models = _models(serving)
    models.load(MODEL)
    outcome = _all(
        ("invoke", lambda: models.invoke(MODEL), 200),
        ("invoke one that is not loaded", lambda: models.invoke(_OTHER), 404),
    )
    models.ask("DELETE", f"/models/{MODEL}")
    return outcome


@MODELS.rule(
    "MULTI-04",
    "GET /models/NAME describes a loaded model, and is 404 for another.",
    source=_MODELS,
    why="The platform asks whether a model is there before it sends requests. Answer its name and "
    "URL, or 404.",
)
def _describes(serving: Serving) -> Outcome:
    models = _models(serving)
    models.load(MODEL)
    outcome = _all(
        ("describe", lambda: models.ask("GET", f"/models/{MODEL}"), 200),
        ("describe one that is not loaded", lambda: models.ask("GET", f"/models/{_OTHER}"), 404),
    )
    models.ask("DELETE", f"/models/{MODEL}")
    return outcome


@MODELS.rule(
    "MULTI-05",
    "DELETE /models/NAME unloads a model: 200, then 404, and it can be loaded again.",
    source=_MODELS,
    why="The platform unloads models to make room, and needs the memory when it is answered. Free "
    "it first, then answer 200; 404 for a name that is not loaded.",
)
def _unloads(serving: Serving) -> Outcome:
    models = _models(serving)
    models.load(MODEL)

    def delete() -> Asked:
        return models.ask("DELETE", f"/models/{MODEL}")

    return _all(
        ("unload", delete, 200),
        ("unload again", delete, 404),
        ("load again", lambda: models.load(MODEL), 200),
        ("unload again", delete, 200),
    )
