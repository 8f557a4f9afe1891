"""MLServer: the Open Inference Protocol (V2), adaptive batches, base64 in JSON."""

import asyncio
import os

import numpy as np
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.saved_model import MOST, SavedModel


class Classifier(MLModel):  # type: ignore[misc]
    """The runtime."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = SavedModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Decode, scale and predict the images of a batch."""
        bodies = Base64Codec.decode_input(payload.inputs[0])
        probabilities = self.model.predict(np.stack([self.model.pixels(b) for b in bodies]))
        output = NumpyCodec.encode_output("probabilities", probabilities)
        return InferenceResponse(model_name=self.name, outputs=[output])


async def main() -> None:
    """Serve one model on PORT."""
    port = int(os.environ["PORT"])
    settings = Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_endpoint=None,
        parallel_workers=0,
        load_models_at_startup=False,
    )
    model = ModelSettings(
        name="classifier",
        implementation=Classifier,
        max_batch_size=MOST,
        max_batch_time=0.005,
        parameters=ModelParameters(),
    )
    await MLServer(settings).start([model])


if __name__ == "__main__":
    asyncio.run(main())
