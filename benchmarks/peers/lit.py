"""LitServe: one worker, batches of what waits. Files reach it in a multipart form."""

import os
from typing import Any

import litserve
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request

from benchmarks.peers.saved_model import MOST, SavedModel, answer


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """The API."""

    def setup(self, device: str) -> None:
        """Load the model."""
        self.model = SavedModel()

    def decode_request(self, request: Request) -> NDArray[np.float32]:
        """Decode and scale the form's file."""
        return self.model.pixels(request["request"].file.read())

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Predict a batch, which LitServe has stacked."""
        return self.model.predict(x)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        """Answer for one image."""
        return answer(output[np.newaxis])


if __name__ == "__main__":
    api = Classifier(max_batch_size=MOST, batch_timeout=0.005, api_path="/invocations")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        generate_client_file=False,
        log_level="warning",
    )
