"""The network: grey pixels 0-255 in, logits out; a backbone, a mean over its map, a linear head."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import DataError
from brain_tumor.training.dropout import WholeBatchDropout
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.lite0 import build_lite0, freeze_early_blocks, set_imagenet_weights
from brain_tumor.training.small import build_small

FEATURES = "features"
"""Name of the layer whose output, (n, channels), the head sees."""
LOGITS = "logits"
"""Name of the head."""

_OWN = {"small": build_small, "lite0": build_lite0}
# Those of keras.applications that take pixels 0-255 and scale them in the network.
_APPLICATIONS = {
    "efficientnetv2-b0": keras.applications.EfficientNetV2B0,
    "efficientnetv2-s": keras.applications.EfficientNetV2S,
    "convnext-tiny": keras.applications.ConvNeXtTiny,
}


def build_network(parameters: Hyperparameters, classes: int) -> keras.Model:
    """Build the backbone that `parameters` names, and its head; weights are random.

    Args:
        parameters: `backbone`, `image_size`, `dropout` and `seed` are used.
        classes: number of logits.

    Returns:
        float32 (n, size, size, 1) with values 0-255 -> float32 logits (n, classes). The layer
        `FEATURES` gives what the head sees. Global mean and linear head, so that the class
        activation map is Grad-CAM (Zhou et al. 2015, arXiv 1512.04150).
    """
    size = parameters.image_size
    images = keras.Input((size, size, 1), dtype="float32", name="images")
    x = _backbone(parameters.backbone)(images)
    x = keras.layers.GlobalAveragePooling2D(name=FEATURES)(x)
    x = WholeBatchDropout(parameters.dropout, seed=parameters.seed)(x)
    # Logits in float32 whatever the policy: softmax in 16 bits loses small probabilities. The
    # kernel begins near zero, so that the first steps do not tear a pretrained backbone apart.
    start = keras.initializers.RandomNormal(stddev=0.01, seed=parameters.seed)
    logits = keras.layers.Dense(classes, kernel_initializer=start, dtype="float32", name=LOGITS)
    return keras.Model(images, logits(x), name=parameters.backbone.replace("-", "_"))


def at_size(network: keras.Model, size: int) -> keras.Model:
    """Give a network that `build_network` made for images of another size: the same layers."""
    images = keras.Input((size, size, 1), dtype="float32", name="images")
    return keras.models.clone_model(
        network, input_tensors=images, clone_function=lambda layer: layer
    )


def set_pretrained_weights(
    network: keras.Model, parameters: Hyperparameters, pretrained: Path | None
) -> None:
    """Put ImageNet's weights into the backbone of `network`; `lite0` keeps the first of them.

    Args:
        network: what `build_network` made.
        parameters: `backbone` and `pretrained` are used.
        pretrained: folder of the channel `pretrained`: the weights file (`..._notop.h5`) that
            keras.applications publishes for the backbone. `lite0` needs none.

    Raises:
        DataError: the channel is missing, or holds no weights of this backbone.
        FileNotFoundError: the weights of `lite0` are not installed.
    """
    if not parameters.starts_pretrained:
        return
    if parameters.backbone == "lite0":
        set_imagenet_weights(network)
        freeze_early_blocks(network)
        return
    file = _weights_file(parameters.backbone, pretrained)
    try:
        network.get_layer(parameters.backbone).load_weights(file)
    # h5py and Keras raise what they trip over.
    except Exception as error:
        raise DataError(
            f"Channel pretrained: {file.name} holds no weights of {parameters.backbone}: {error}. "
            "Wanted the file without top (`..._notop.h5`) that keras.applications publishes for it."
        ) from error


def pretrained_digest(parameters: Hyperparameters, pretrained: Path | None) -> str | None:
    """Return the SHA-256 of the weights file that `set_pretrained_weights` reads from the channel.

    None: it reads none.

    Raises:
        DataError: the channel is missing, or holds no weights file.
    """
    if not parameters.starts_pretrained or parameters.backbone == "lite0":
        return None
    with _weights_file(parameters.backbone, pretrained).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def set_former_weights(
    network: keras.Model, parameters: Hyperparameters, weights: Sequence[NDArray[np.float32]]
) -> None:
    """Put the weights of a former network into `network`, those of its head too.

    Args:
        network: what `build_network` made, for images of any size.
        parameters: `backbone` is used; the first weights of `lite0` are kept, as they were then.
        weights: in the order of `network.weights`.

    Raises:
        DataError: they are not of this network.
    """
    wanted = [tuple(weight.shape) for weight in network.weights]
    if [weight.shape for weight in weights] != wanted:
        raise DataError(
            f"Channel model: its {len(weights)} weights are not those of {parameters.backbone}. "
            "Usual cause: a model of another version of the image."
        )
    network.set_weights(weights)
    if parameters.backbone == "lite0":
        freeze_early_blocks(network)


def _backbone(name: str) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    return _OWN[name] if name in _OWN else lambda images: _application(name, images)


def _application(name: str, images: keras.KerasTensor) -> keras.KerasTensor:
    colour = keras.layers.Concatenate(name="grey_to_colour")([images, images, images])
    # Of any size, so that `at_size` can have another.
    shape = (None, None, 3)
    network = _APPLICATIONS[name](include_top=False, weights=None, input_shape=shape, name=name)
    return network(colour)


def _weights_file(backbone: str, channel: Path | None) -> Path:
    files = sorted(channel.rglob("*.h5")) if channel else []
    if len(files) != 1:
        raise DataError(
            f"backbone={backbone} starts from ImageNet weights, which the channel pretrained must "
            f"hold as one .h5 file; found {[file.name for file in files] or 'none'}. Give that "
            "channel, or pretrained=false to train from scratch, or backbone=lite0, whose weights "
            "are in the image."
        )
    return files[0]
