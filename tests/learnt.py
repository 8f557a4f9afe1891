"""A network trained for a few seconds, and the channels it was trained on."""

from dataclasses import dataclass

import keras

from brain_tumor.training.channels import Channels
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Training
from tests.scans import encode, noise

PARAMETERS = Hyperparameters(
    image_size=32, batch_size=8, epochs=6, mixed_precision=True, backbone="small"
)


@dataclass(frozen=True)
class Learnt:
    """A network trained on scans that their brightness tells apart."""

    channels: Channels
    network: keras.Model
    training: Training
    printed: str


def scans(count: int, seed: int) -> dict[str, bytes]:
    return {
        f"{label}/{number}.png": encode(noise(seed + number + darkest, 32) // 3 + darkest, "PNG")
        for label, darkest in (("bright", 150), ("dark", 20))
        for number in range(count)
    }
