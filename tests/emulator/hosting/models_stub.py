"""A small multi-model server for tests; variables in its environment make it small or wrong.

    HOLDS: how many models fit, the next one is answered 507
    PAGE: how many models a page of the list has
    NO_LIST: GET /models is 404
An invocation with the body `forget` makes it forget the model, `full` is answered 507 once while
there are other models, `huge` always. A model with a file `slow` takes two seconds to load.
"""

import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.emulator.hosting.stub import Handler, main

_MODELS: dict[str, str] = {}


class ModelsHandler(Handler):
    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        url = urlsplit(self.path)
        if url.path == "/models" and "NO_LIST" not in os.environ:
            self.listed(int(parse_qs(url.query).get("next_page_token", ["0"])[0]))
        else:
            super().do_GET()

    def listed(self, first: int) -> None:
        size = int(os.environ.get("PAGE", "100"))
        named = [{"modelName": n, "modelUrl": u} for n, u in sorted(_MODELS.items())]
        page: dict[str, Any] = {"models": named[first : first + size]}
        if first + size < len(named):
            page["nextPageToken"] = str(first + size)
        self.answer(200, json.dumps(page).encode())

    def do_DELETE(self) -> None:  # noqa: N802 - the name that http.server calls
        self.answer(200 if _MODELS.pop(self.path.split("/")[2], None) else 404, b"")

    def do_POST(self) -> None:  # noqa: N802 - the name that http.server calls
        body = self.body()
        if self.path == "/models":
            self.load(json.loads(body))
            return
        name = self.path.split("/")[2]
        if name not in _MODELS:
            self.answer(404, b"not loaded")
        elif body == b"huge" or (body == b"full" and len(_MODELS) > 1):
            self.answer(507, b"no memory for the answer")
        else:
            if body == b"forget":
                del _MODELS[name]
            self.predict(name, body)

    def load(self, wanted: dict[str, str]) -> None:
        name = wanted["model_name"]
        folder = Path(wanted["url"])
        if (folder / "slow").exists():
            time.sleep(2)
        if name in _MODELS:
            self.answer(409, b"")
        elif (folder / "broken").exists():
            self.answer(500, b"cannot read the weights")
        elif len(_MODELS) >= int(os.environ.get("HOLDS", "100")):
            self.answer(507, b"no memory")
        else:
            _MODELS[name] = wanted["url"]
            self.answer(200, b"")

    def predict(self, name: str, body: bytes) -> None:
        told = {
            "weights": (Path(_MODELS[name]) / "weights").read_text() if name in _MODELS else "",
            "target": self.headers["X-Amzn-SageMaker-Target-Model"],
            "body": body.decode(),
            "loaded": len(_MODELS),
            "multi_model": os.environ.get("SAGEMAKER_MULTI_MODEL"),
        }
        self.answer(200, json.dumps(told).encode())


if __name__ == "__main__":
    main(ModelsHandler)
