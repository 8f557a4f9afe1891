"""Rules of multi-model endpoints."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local_test.emulator.check.asking import Asked
from local_test.emulator.check.hosted import Started
from local_test.emulator.check.rule import NotTestedError, Outcome, Rules, failed, judged, passed
from local_test.emulator.check.rules_image import MULTI_MODEL
from local_test.emulator.check.serving import MODEL, Serving
from local_test.emulator.check.sources import MODELS as PAGE

MODELS: Rules[Serving] = Rules("a multi-model endpoint")

_OTHER = "a1" * 16


@dataclass(frozen=True)
class Models:
    """A multi-model endpoint with one model that can be loaded, and what it answers."""

    serving: Serving
    started: Started

    def ask(self, method: str, path: str, told: Any = None) -> Asked:
        """Ask with a JSON body, or none."""
        body = None if told is None else json.dumps(told).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        return self.serving.ask(method, path, body, headers, of=self.started)

    @property
    def url(self) -> str:
        """Where the model lies, as the container sees it."""
        return f"{self.started.server.ml}/models/{MODEL}/model"

    def load(self) -> Asked:
        """Load the model."""
        return self.ask("POST", "/models", {"model_name": MODEL, "url": self.url})

    def unload(self) -> Asked:
        """Unload the model."""
        return self.ask("DELETE", f"/models/{MODEL}")

    def invoke(self, name: str) -> Asked:
        """Ask a model for an answer."""
        payload = self.serving.payload()
        headers = {**payload.headers, "X-Amzn-SageMaker-Target-Model": "model.tar.gz"}
        return self.serving.ask(
            "POST", f"/models/{name}/invoke", payload.body, headers, of=self.started
        )

    def listed(self) -> dict[str, str] | None:
        """Return the URL by name that GET /models lists; None if it is not as the guide says."""
        asked = self.ask("GET", "/models")
        try:
            models = json.loads(asked.body)["models"]
            urls = {model["modelName"]: model["modelUrl"] for model in models}
        except (ValueError, KeyError, TypeError):
            return None
        return urls if asked.status == 200 else None


def _announced(serving: Serving) -> bool:
    return serving.hosted.labels.get(MULTI_MODEL) == "true"


def _models(serving: Serving) -> Models:
    if serving.hosted.contained and not _announced(serving):
        raise NotTestedError(f"there is no label {MULTI_MODEL}=true")
    started = serving.multi_model()
    if not started.healthy:
        raise NotTestedError("`serve` was not healthy with SAGEMAKER_MULTI_MODEL=true (MULTI-01)")
    models = Models(serving, started)
    if not serving.hosted.contained and models.listed() is None:
        # What has no label may still load models.
        if models.load().status == 404:
            raise NotTestedError("a command has no label, and this one knows no /models")
        models.unload()
    return models


@contextmanager
def _loaded(serving: Serving) -> Iterator[Models]:
    """Give the endpoint with its model loaded, for the block.

    Raises:
        NotTestedError: It is not an endpoint that loads models.
    """
    models = _models(serving)
    asked = models.load()
    try:
        if asked.status != 200:
            raise NotTestedError(f"the model was not loaded (MULTI-02): {asked.seen}")
        yield models
    finally:
        models.unload()


def _all(*steps: tuple[str, Callable[[], Asked], int]) -> Outcome:
    """Go through steps, each with the status that is wanted; the first other one fails."""
    for what, ask, wanted in steps:
        if (asked := ask()).status != wanted:
            return failed(f"{what}: wanted {wanted}, {asked.seen}")
    return passed("; ".join(f"{what} {wanted}" for what, _, wanted in steps))


@MODELS.rule(
    "MULTI-01",
    "GET /models lists the loaded models, from the start on.",
    source=PAGE,
    why="It is asked at the start as well: a 404, or JSON without `models`, makes the endpoint "
    'fail. Answer {"models": [{"modelName": …, "modelUrl": …}]}.',
)
def _lists(serving: Serving) -> Outcome:
    if _announced(serving) and not serving.multi_model().healthy:
        return failed(serving.multi_model().why)
    before = _models(serving).listed()
    if before is None:
        return failed(f"before: {_models(serving).ask('GET', '/models').seen}")
    with _loaded(serving) as models:
        after = models.listed()
        right = after is not None and after.get(MODEL) == models.url
    return judged(right, f"before: {before}; after: {after}")


@MODELS.rule(
    "MULTI-02",
    "POST /models loads a model: 200, and 409 for one that is loaded.",
    source=PAGE,
    why="With another status the platform takes the model for one that cannot be loaded, or loads "
    "it again and again. Answer these two, and 507 when there is no memory.",
)
def _loads(serving: Serving) -> Outcome:
    models = _models(serving)
    try:
        return _all(("load", models.load, 200), ("load again", models.load, 409))
    finally:
        models.unload()


@MODELS.rule(
    "MULTI-03",
    "POST /models/NAME/invoke answers for a loaded model, and 404 for another.",
    source=PAGE,
    why="404 is how the platform learns that it has to load the model first. Look the name up "
    "before the body is read.",
)
def _invokes(serving: Serving) -> Outcome:
    with _loaded(serving) as models:
        return _all(
            ("invoke", lambda: models.invoke(MODEL), 200),
            ("invoke one that is not loaded", lambda: models.invoke(_OTHER), 404),
        )


@MODELS.rule(
    "MULTI-04",
    "GET /models/NAME describes a loaded model, and is 404 for another.",
    source=PAGE,
    why="The platform asks whether a model is there before it sends requests. Answer "
    '{"modelName": …, "modelUrl": …}, or 404.',
)
def _describes(serving: Serving) -> Outcome:
    with _loaded(serving) as models:
        asked = models.ask("GET", f"/models/{MODEL}")
        outcome = _all(
            ("describe", lambda: asked, 200),
            (
                "describe one that is not loaded",
                lambda: models.ask("GET", f"/models/{_OTHER}"),
                404,
            ),
        )
        wanted = {"modelName": MODEL, "modelUrl": models.url}
    if outcome.state == "PASS" and not _has(asked, wanted):
        return failed(f"wanted {wanted}, {asked.seen}")
    return outcome


def _has(asked: Asked, wanted: dict[str, str]) -> bool:
    """Tell whether an answer is JSON with these fields, and maybe others."""
    try:
        return bool(json.loads(asked.body).items() >= wanted.items())
    except (ValueError, AttributeError, TypeError):
        return False


@MODELS.rule(
    "MULTI-05",
    "DELETE /models/NAME unloads a model: 200, then 404, and it can be loaded again.",
    source=PAGE,
    why="The platform unloads models to make room, and needs the memory when it is answered. Free "
    "it first, then answer 200; 404 for a name that is not loaded.",
)
def _unloads(serving: Serving) -> Outcome:
    with _loaded(serving) as models:
        return _all(
            ("unload", models.unload, 200),
            ("unload again", models.unload, 404),
            ("load again", models.load, 200),
            ("unload again", models.unload, 200),
        )
