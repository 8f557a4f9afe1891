"""Multi Model Server with AWS's inference toolkit: a Java front end, one process a core.

`default_handler_service` of the toolkit reads a user's functions from the model folder; here they
are given to its Transformer directly, and its settings file is written as the toolkit writes it.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

from benchmarks.peers.saved_model import MODEL, SavedModel, answer


class _Handler(DefaultInferenceHandler):  # type: ignore[misc]
    def default_model_fn(self, model_dir: str, context: Any = None) -> SavedModel:
        return SavedModel()

    def default_input_fn(
        self, input_data: bytes, content_type: str, context: Any = None
    ) -> NDArray[np.float32]:
        return _service.model.pixels(bytes(input_data))[np.newaxis]

    def default_predict_fn(
        self, data: NDArray[np.float32], model: SavedModel, context: Any = None
    ) -> NDArray[np.float32]:
        return model.predict(data)

    def default_output_fn(
        self, prediction: NDArray[np.float32], accept: str, context: Any = None
    ) -> tuple[str, str]:
        return json.dumps(answer(prediction)), "application/json"


class _Service(DefaultHandlerService):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(Transformer(default_inference_handler=_Handler()))

    @property
    def model(self) -> SavedModel:
        model: SavedModel = self._service._model
        return model


_service = _Service()


def handle(data: Any, context: Any) -> Any:
    """Answer a request, as Multi Model Server calls it; with no data: get ready."""
    if not _service._service._initialized:
        _service.initialize(context)
    return None if data is None else _service.handle(data, context)


def main() -> None:
    """Become the server."""
    port = int(os.environ["PORT"])
    settings = Path(tempfile.mkdtemp()) / "mms.properties"
    settings.write_text(
        "enable_envvars_config=true\ndecode_input_request=false\nload_models=ALL\n"
        "default_service_handler=benchmarks.peers.mms:handle\n"
        f"default_workers_per_model={len(os.sched_getaffinity(0))}\n"
        f"inference_address=http://127.0.0.1:{port}\n"
        f"management_address=http://127.0.0.1:{port}\n"
    )
    command = ["multi-model-server", "--start", "--foreground", "--model-store", "/"]
    os.execvp(  # noqa: S606
        command[0], [*command, "--mms-config", str(settings), "--models", f"model={MODEL}"]
    )


if __name__ == "__main__":
    main()
