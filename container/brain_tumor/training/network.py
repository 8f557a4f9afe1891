"""The network: pixels 0-255 in, logits out; augmentation and normalisation are inside it."""

import keras

from brain_tumor.training.hyperparameters import Hyperparameters

_STEM = 32
_STAGES = (32, 64, 128, 256)


def build_network(parameters: Hyperparameters, classes: int) -> keras.Model:
    """Build the `small` backbone: a residual CNN with squeeze-and-excitation, 1.2 M parameters.

    Residual blocks after He et al. 2015 (arXiv 1512.03385) with pooled shortcuts after He et al.
    2018 (arXiv 1812.01187), squeeze-and-excitation after Hu et al. 2018 (arXiv 1709.01507), sized
    for two CPU cores.

    Args:
        parameters: `image_size` and `augment` are used.
        classes: number of logits.

    Returns:
        float32 (n, size, size, 1) with values 0-255 -> float32 logits (n, classes). The
        augmentation acts only when called with `training=True`.
    """
    size = parameters.image_size
    images = keras.Input((size, size, 1), dtype="float32", name="images")
    x = build_augmentation(parameters.seed)(images) if parameters.augment else images
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="normalise")(x)
    x = _conv(x, _STEM, kernel=5, strides=2)
    for filters in _STAGES:
        x = _residual_block(x, filters, strides=2)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.Dropout(0.2, seed=parameters.seed)(x)
    # Logits in float32 whatever the policy: softmax in 16 bits loses small probabilities.
    logits = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="small")


def build_augmentation(seed: int) -> keras.Sequential:
    """Mirror, rotate, shift, zoom and re-contrast scans with values 0-255."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal", seed=seed),
            layers.RandomRotation(15 / 360, fill_mode="constant", seed=seed + 1),
            layers.RandomTranslation(0.07, 0.07, fill_mode="constant", seed=seed + 2),
            layers.RandomZoom(0.15, fill_mode="constant", seed=seed + 3),
            layers.RandomBrightness(0.1, value_range=(0, 255), seed=seed + 4),
            layers.RandomContrast(0.3, value_range=(0, 255), seed=seed + 5),
        ],
        name="augmentation",
    )


def _conv(x: keras.KerasTensor, filters: int, kernel: int, strides: int) -> keras.KerasTensor:
    x = keras.layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.layers.Activation("relu")(x)


def _residual_block(x: keras.KerasTensor, filters: int, strides: int) -> keras.KerasTensor:
    shortcut = keras.layers.AveragePooling2D(strides, padding="same")(x)
    shortcut = keras.layers.Conv2D(filters, 1, use_bias=False)(shortcut)
    shortcut = keras.layers.BatchNormalization(momentum=0.9)(shortcut)
    x = _conv(x, filters, kernel=3, strides=strides)
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = _squeeze_excite(x, filters)
    return keras.layers.Activation("relu")(keras.layers.Add()([x, shortcut]))


def _squeeze_excite(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    weights = keras.layers.Conv2D(max(8, filters // 8), 1, activation="relu")(weights)
    weights = keras.layers.Conv2D(filters, 1, activation="sigmoid")(weights)
    return keras.layers.Multiply()([x, weights])
