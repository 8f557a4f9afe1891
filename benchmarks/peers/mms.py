"""Multi Model Server with AWS's inference toolkit: a Java front end, one process a core.

The toolkit's `default_handler_service` reads a user's functions from the model folder; here they
are given to its Transformer directly. mms.properties holds what the toolkit would write.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sagemaker_inference.default_handler_service import DefaultHandlerService
from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

from benchmarks.peers.saved_model import SavedModel, answer


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
