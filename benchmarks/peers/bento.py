"""BentoML: one worker with eight threads, one image a prediction."""

from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import ContentType

from benchmarks.peers.saved_model import SavedModel, answer


@bentoml.service(workers=1, threads=8, traffic={"timeout": 60})
class Classifier:
    """The service."""

    def __init__(self) -> None:
        """Load the model."""
        self.model = SavedModel()

    @bentoml.api(route="/invocations")  # type: ignore[untyped-decorator]
    def invocations(self, scan: Annotated[Path, ContentType("image/jpeg")], /) -> dict[str, Any]:
        """Decode, scale and predict one image."""
        pixels = self.model.pixels(scan.read_bytes())
        return answer(self.model.predict(pixels[np.newaxis]))
