"""A multi-model endpoint: archives in a folder, loaded at their first call, unloaded for others.

A container knows a model by an opaque name; see "Contract for custom containers to serve multiple
models" in the developer guide.
"""

import contextlib
import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.api_errors import (
    ModelError,
    ModelNotReadyError,
    ValidationError,
)
from local_test.emulator.hosting.archive import unpack
from local_test.emulator.hosting.exchange import (
    PRIMARY,
    Opened,
    Reply,
    TimedOutError,
    exchange,
    opened,
)
from local_test.emulator.hosting.health import Ping
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import Call, listening

ENVIRONMENT = {"SAGEMAKER_MULTI_MODEL": "true"}
LABEL = "com.amazonaws.sagemaker.capabilities.multi-models"
_LOAD_SECONDS = 60.0
_NO_MEMORY, _LOADED_ALREADY, _NOT_LOADED = 507, 409, 404


class MultiModel:
    """One container with as many models as its memory holds.

    Args:
        endpoint: The endpoint's name, for errors.
        server: The container, healthy.
        archives: The folder that ModelDataUrl stands for: TargetModel is a path below it.
        models: The folder that the container sees as /opt/ml/models.
        most: Never more models than these at once; None leaves it to the container's 507.
        note: Called with each load and unload, in words.
    """

    def __init__(
        self,
        endpoint: str,
        server: Server,
        archives: Path,
        models: Path,
        *,
        most: int | None = None,
        note: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._endpoint = endpoint
        self._server = server
        self._archives = archives
        self._models = models
        self._most = most
        self._note = note
        # Opaque name to TargetModel, the least recently used first.
        self._loaded: OrderedDict[str, str] = OrderedDict()
        # Held for a moment, to look at it; a load of minutes stops no call of another model.
        self._looking = threading.Lock()
        self._changing = threading.Lock()
        # Asked at the start as well: an endpoint whose container does not list models fails.
        self.synchronise()

    @contextlib.contextmanager
    def open(self, call: Call) -> Iterator[Opened]:
        """Send a call to its model, which is loaded first where it is not; others may have to go.

        Raises:
            ApiError: There is no such model, or it cannot be loaded.
        """
        target = call.target_model
        if target is None:
            raise ValidationError(
                "Invocation of a multi-model endpoint needs a target model: give TargetModel."
            )
        name = self._load(target)
        # The container may have lost it since, or need memory for the answer: once more then.
        with self._asked(name, target, call) as answer:
            if answer.status not in (_NOT_LOADED, _NO_MEMORY):
                yield answer
                return
            refusal = b"".join(answer.parts()).decode(errors="replace")
        with self._changing:
            if answer.status == _NOT_LOADED:
                self._forget(name)
            elif not self._unload_another(name):
                raise self._error(answer.status, refusal)
        with self._asked(self._load(target), target, call) as answer:
            yield answer

    def ping(self) -> Ping:
        """Ask the container for its health once."""
        return self._server.ping()

    def loaded(self) -> list[str]:
        """Return which models are loaded, the least recently used first."""
        with self._looking:
            return list(self._loaded.values())

    def synchronise(self) -> None:
        """Ask for all pages of GET /models, and forget what the container has not loaded.

        Raises:
            EmulatorError: It does not list its models as the contract says.
        """
        listed = set(self._listed())
        with self._looking:
            lost = [name for name in self._loaded if name not in listed]
        for name in lost:
            self._note(f"the container no longer lists {self._forget(name)}")

    def _listed(self) -> Iterator[str]:
        token = None
        while True:
            query = f"?next_page_token={quote(token)}" if token else ""
            reply = self._ask("GET", f"/models{query}")
            try:
                page = json.loads(reply.body)
                yield from (str(model["modelName"]) for model in page["models"])
                token = page.get("nextPageToken")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise EmulatorError(
                    f"GET /models{query} was answered with status {reply.status} and "
                    f"{reply.body[:200]!r}: wanted 200 and "
                    '{"models": [{"modelName": …, "modelUrl": …}]}. The endpoint fails with that.'
                ) from error
            if not token:
                return

    @contextlib.contextmanager
    def _asked(self, name: str, target: str, call: Call) -> Iterator[Opened]:
        headers = {**call.headers, "X-Amzn-SageMaker-Target-Model": target}
        with opened(
            listening(self._server),
            "POST",
            f"/models/{name}/invoke",
            body=call.body,
            headers=headers,
            seconds=call.seconds,
        ) as answer:
            yield answer

    def _load(self, target: str) -> str:
        """Return the opaque name of a model that is loaded now, and the most recently used."""
        name = hashlib.sha256(target.encode()).hexdigest()[:32]
        if self._used(name):
            return name
        with self._changing:
            # Another call may have loaded it meanwhile.
            if not self._used(name):
                self._unpack(target, name)
                while self._most and len(self.loaded()) >= self._most:
                    self._unload_another(name)
                self._load_unpacked(name, target)
                with self._looking:
                    self._loaded[name] = target
                self.synchronise()
        return name

    def _used(self, name: str) -> bool:
        """Note that a model is the most recently used; False where it is not loaded."""
        with self._looking:
            if loaded := name in self._loaded:
                self._loaded.move_to_end(name)
            return loaded

    def _forget(self, name: str) -> str | None:
        """Count a model as not loaded; return its TargetModel."""
        with self._looking:
            return self._loaded.pop(name, None)

    def _load_unpacked(self, name: str, target: str) -> None:
        told = {"model_name": name, "url": f"{self._server.ml}/models/{name}/model"}
        while True:
            try:
                reply = self._ask("POST", "/models", told)
            except TimedOutError as error:
                raise ModelNotReadyError(f"Model {target} is still being loaded.") from error
            if reply.status in (200, _LOADED_ALREADY):
                self._note(f"loaded {target} in {reply.seconds:.1f} s")
                return
            if reply.status != _NO_MEMORY or not self._unload_another(name):
                raise self._error(reply.status, reply.body.decode(errors="replace"))

    def _unload_another(self, name: str) -> bool:
        """Unload the least recently used model but this one; False where there is none."""
        with self._looking:
            oldest = next((other for other in self._loaded if other != name), None)
        if oldest is None:
            return False
        target = self._forget(oldest)
        reply = self._ask("DELETE", f"/models/{oldest}")
        if reply.status not in (200, _NOT_LOADED):
            raise self._error(reply.status, reply.body.decode(errors="replace"))
        self._note(f"unloaded {target} in {reply.seconds:.1f} s")
        return True

    def _unpack(self, target: str, name: str) -> None:
        folder = self._models / name / "model"
        if folder.exists():
            return
        key = PurePosixPath(target)
        archive = self._archives / key
        if key.is_absolute() or ".." in key.parts or not archive.is_file():
            raise ValidationError(
                f"Failed to download model data (key: {target}): there is no file {archive}."
            )
        try:
            unpack(archive, folder)
        except EmulatorError as error:
            raise ValidationError(str(error)) from error

    def _ask(self, method: str, path: str, told: Any = None) -> Reply:
        headers = {"Accept": "application/json"}
        body = None
        if told is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(told).encode()
        address = listening(self._server)
        return exchange(address, method, path, body=body, headers=headers, seconds=_LOAD_SECONDS)

    def _error(self, status: int, message: str) -> ModelError:
        return ModelError(self._endpoint, status, message, PRIMARY)
