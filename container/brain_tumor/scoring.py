"""The signatures of a SavedModel as functions of uint8 pixels, and what they give."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tensorflow as tf

PredictFn = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(n, size, size) uint8 0-255 -> probabilities (n, classes) float32."""


class Pictures(Protocol):
    """(n, height, width) uint8, 0-255: an array, or what is read as needed."""

    def __len__(self) -> int:
        """Give n."""

    def __getitem__(self, rows: slice, /) -> NDArray[np.uint8]:
        """Give some of them."""


class Scores(NamedTuple):
    """What the network says of n scans."""

    probabilities: NDArray[np.float32]
    """(n, classes)."""
    foreign: NDArray[np.float32]
    """(n,) the higher, the less like a brain MRI; -inf from models that were not taught to see."""


ScoresFn = Callable[[NDArray[np.uint8]], Scores]
"""(n, size, size) uint8 0-255 -> scores."""


class HeatMaps(NamedTuple):
    """Where in n scans the network saw which class; of the first look, in float32."""

    probabilities: NDArray[np.float32]
    """(n, classes)."""
    maps: NDArray[np.float32]
    """(n, height, width, classes): what each place adds to a class's logit."""


HeatMapsFn = Callable[[NDArray[np.uint8]], HeatMaps]
"""(n, size, size) uint8 0-255 -> heat maps."""


def as_predict(serving_default: Callable[..., dict[str, "tf.Tensor"]]) -> PredictFn:
    """Wrap the function `serving_default`, loaded or not yet saved, to take uint8 pixels."""

    def predict(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities: NDArray[np.float32]
        probabilities = serving_default(images=_images(pixels))["probabilities"].numpy()
        return probabilities

    return predict


def as_scores(serving_scores: Callable[..., dict[str, "tf.Tensor"]]) -> ScoresFn:
    """Wrap `serving_scores` or a first look, loaded or not yet saved, to take uint8 pixels."""

    def scores(pixels: NDArray[np.uint8]) -> Scores:
        outputs = serving_scores(images=_images(pixels))
        return Scores(outputs["probabilities"].numpy(), outputs["foreign"].numpy())

    return scores


def scores_of(signatures: Mapping[str, Callable[..., dict[str, "tf.Tensor"]]]) -> ScoresFn:
    """Give `serving_scores`; where it is lacking `serving_default`, to which nothing is foreign."""
    if "serving_scores" in signatures:
        return as_scores(signatures["serving_scores"])
    return without_foreign(as_predict(signatures["serving_default"]))


def as_heat_maps(serving_heat_map: Callable[..., dict[str, "tf.Tensor"]]) -> HeatMapsFn:
    """Wrap `serving_heat_map`, loaded or not yet saved, to take uint8 pixels."""

    def heat_maps(pixels: NDArray[np.uint8]) -> HeatMaps:
        outputs = serving_heat_map(images=_images(pixels))
        return HeatMaps(outputs["probabilities"].numpy(), outputs["heat_maps"].numpy())

    return heat_maps


def without_foreign(predict: PredictFn) -> ScoresFn:
    """Make scores of probabilities alone: nothing looks foreign."""

    def scores(pixels: NDArray[np.uint8]) -> Scores:
        return Scores(predict(pixels), np.full(len(pixels), -np.inf, np.float32))

    return scores


def _images(pixels: NDArray[np.uint8]) -> "tf.Tensor":
    import tensorflow as tf

    return tf.constant(pixels[..., np.newaxis], dtype=tf.float32)


def in_batches(predict: PredictFn, pixels: Pictures, size: int) -> NDArray[np.float32]:
    """Run `predict` over (n, h, w) in batches of at most `size`, so that memory stays bounded."""
    parts: Sequence[NDArray[np.float32]] = [
        predict(pixels[start : start + size]) for start in range(0, len(pixels), size)
    ]
    return np.concatenate(parts)
