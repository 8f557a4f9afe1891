"""EfficientNet-Lite0 without batch normalisation: the backbone that starts from ImageNet weights.

Tan and Le 2019 (arXiv 1905.11946) in the "lite" form of Google's EfficientNet repository: inverted
residual blocks without squeeze-and-excitation, ReLU6 throughout. Each batch normalisation is folded
into its convolution (see `imagenet`), so that a training step costs half as much on a CPU and what
is trained is exactly what is served.
"""

import keras

from brain_tumor.training.imagenet import Weights, load_lite0

_STEM, _HEAD = 32, 1280
# (expansion, kernel, strides, filters, repeats), Table 1 of the paper; lite0 scales nothing.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)

_FROZEN_BLOCKS = 5
"""Of sixteen: the stages down to an eighth of the image, which see edges and textures.

Their high resolution makes them two fifths of a training step (docs/recipe.md).
"""


def build_lite0(images: keras.KerasTensor) -> keras.KerasTensor:
    """Return the last feature map, (n, size / 32, size / 32, 1280), of grey images 0-255."""
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(images)
    x = _relu6(_conv(x, _STEM, 3, 2, "conv_stem"))
    number = 0
    for expansion, kernel, strides, filters, repeats in _STAGES:
        for repeat in range(repeats):
            step = strides if repeat == 0 else 1
            x = _block(x, f"blocks_{number}", expansion, kernel, step, filters)
            number += 1
    return _relu6(_conv(x, _HEAD, 1, 1, "conv_head"))


def set_imagenet_weights(network: keras.Model) -> None:
    """Put ImageNet's weights into a network whose backbone is `build_lite0`.

    The stem's kernels for red, green and blue are added up: a grey image is one whose three
    channels are equal.

    Raises:
        FileNotFoundError: the weights are not installed.
    """
    weights: Weights = load_lite0()
    weights["conv_stem/kernel"] = weights["conv_stem/kernel"].sum(axis=2, keepdims=True)
    for name in {key.split("/")[0] for key in weights}:
        layer = network.get_layer(name)
        layer.set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])


def freeze_early_blocks(network: keras.Model) -> None:
    """Let training leave the stem and the first blocks of a `build_lite0` network as they are."""
    frozen = ("conv_stem", *(f"blocks_{number}_" for number in range(_FROZEN_BLOCKS)))
    for layer in network.layers:
        if layer.name.startswith(frozen):
            layer.trainable = False


def _block(
    x: keras.KerasTensor, name: str, expansion: int, kernel: int, strides: int, filters: int
) -> keras.KerasTensor:
    inputs, channels = x, x.shape[-1]
    if expansion > 1:
        x = _relu6(_conv(x, channels * expansion, 1, 1, f"{name}_expand_conv"))
    depthwise = keras.layers.DepthwiseConv2D(
        kernel, strides, padding="same", name=f"{name}_depthwise_conv"
    )
    x = _conv(_relu6(depthwise(x)), filters, 1, 1, f"{name}_project_conv")
    if strides == 1 and channels == filters:
        return keras.layers.Add()([x, inputs])
    return x


def _conv(
    x: keras.KerasTensor, filters: int, kernel: int, strides: int, name: str
) -> keras.KerasTensor:
    return keras.layers.Conv2D(filters, kernel, strides, padding="same", name=name)(x)


def _relu6(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.ReLU(6.0)(x)
