"""Random variations of scans while training: what must not matter for the class is varied.

In the public data set the border, the brightness, the sharpness, the codec and upside-down copies
predict the class (docs/recipe.md), so each of them is drawn at random, alike for all classes.
Everything is TensorFlow's stateless random numbers: the same seed gives the same pictures.
"""

import math

import tensorflow as tf

from brain_tumor.training.strategy import WHOLE, Part

_DEGREES, _ZOOM, _ASPECT, _SHIFT = 15.0, 0.15, 0.08, 0.07
_GAMMA, _CONTRAST, _BRIGHTNESS = 0.3, 0.25, 12.0
_BLURRED, _NOISY, _BLANKED, _RECODED = 0.2, 0.3, 0.3, 0.2
_NOISE, _BORDER = 10.0, 0.06
_QUALITIES = (30, 95)


class _Draws:
    """Independent numbers for each scan of a part of a batch, as the whole draws them."""

    def __init__(self, batch_size: int, part: Part, seed: tf.Tensor) -> None:
        self._batch_size, self._rows = batch_size, part.of(batch_size)
        self._seed = seed
        self._count = 0

    def seed(self) -> tf.Tensor:
        self._count += 1
        return tf.random.fold_in(self._seed, self._count)

    def uniform(self, low: float, high: float) -> tf.Tensor:
        """(n,) numbers."""
        whole = tf.random.stateless_uniform((self._batch_size,), self.seed(), low, high)
        return whole[self._rows]

    def per_pixel(self, low: float, high: float) -> tf.Tensor:
        """(n, 1, 1, 1) numbers."""
        return self.uniform(low, high)[:, None, None, None]

    def chosen(self, share: float) -> tf.Tensor:
        """(n, 1, 1, 1) booleans, True for about `share` of the scans."""
        return self.per_pixel(0.0, 1.0) < share

    def seeds(self) -> tf.Tensor:
        """(n, 2) seeds of what is drawn for one scan alone."""
        shape, any_number = (self._batch_size, 2), {"minval": None, "maxval": None}
        whole = tf.random.stateless_uniform(shape, self.seed(), dtype=tf.int32, **any_number)
        return whole[self._rows]


def augment(images: tf.Tensor, seed: tf.Tensor, batch_size: int, part: Part = WHOLE) -> tf.Tensor:
    """Vary each scan of a batch in its own way.

    Args:
        images: float32 (n, size, size, 1), 0-255: the part of a batch.
        seed: int32 or int64 (2,), of the batch.
        batch_size: scans of the whole batch.
        part: which part it is. It varies as it does within the whole.

    Returns:
        The same shape, type and range.
    """
    draws = _Draws(batch_size, part, seed)
    images = _move(images, draws)
    images = _change_grey_levels(images, draws)
    images = _change_sharpness(images, draws)
    images = _recode(tf.clip_by_value(images, 0.0, 255.0), draws)
    return _blank_border(images, draws)


def _move(images: tf.Tensor, draws: _Draws) -> tf.Tensor:
    """Mirror, turn, zoom, stretch and shift in one interpolation; what was outside is black."""
    size = float(images.shape[1])
    angle = draws.uniform(-_DEGREES, _DEGREES) * math.pi / 180
    zoom, aspect = (tf.exp(draws.uniform(-most, most)) for most in (_ZOOM, _ASPECT))
    mirror = tf.where(draws.uniform(0.0, 1.0) < 0.5, -1.0, 1.0)
    across, down = zoom * aspect * mirror, zoom / aspect
    cos, sin = tf.cos(angle), tf.sin(angle)
    x_x, x_y, y_x, y_y = cos * across, -sin * down, sin * across, cos * down
    middle = (size - 1) / 2
    # The transform maps a point of the result to one of the scan, both seen from the middle.
    x_0 = middle + draws.uniform(-_SHIFT, _SHIFT) * size - (x_x + x_y) * middle
    y_0 = middle + draws.uniform(-_SHIFT, _SHIFT) * size - (y_x + y_y) * middle
    zero = tf.zeros_like(x_x)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([x_x, x_y, x_0, y_x, y_y, y_0, zero, zero], axis=1),
        output_shape=images.shape[1:3],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def _change_grey_levels(images: tf.Tensor, draws: _Draws) -> tf.Tensor:
    gamma = tf.exp(draws.per_pixel(-_GAMMA, _GAMMA))
    contrast = tf.exp(draws.per_pixel(-_CONTRAST, _CONTRAST))
    images = 255 * tf.pow(tf.clip_by_value(images / 255, 1e-4, 1.0), gamma)
    return images * contrast + draws.per_pixel(-_BRIGHTNESS, _BRIGHTNESS)


def _change_sharpness(images: tf.Tensor, draws: _Draws) -> tf.Tensor:
    images = tf.where(draws.chosen(_BLURRED), _blur(images), images)
    return _add_noise(images, draws)


def _add_noise(images: tf.Tensor, draws: _Draws) -> tf.Tensor:
    """Add noise to some scans, each from a seed of its own: it takes long, and most need none."""

    def add(item: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, chosen, deviation, seed = item
        return tf.cond(
            chosen,
            lambda: image + deviation * tf.random.stateless_normal(image.shape, seed),
            lambda: image,
        )

    chosen = tf.reshape(draws.chosen(_NOISY), (-1,))
    deviations = draws.uniform(0.0, _NOISE)
    items = (images, chosen, deviations, draws.seeds())
    return tf.map_fn(add, items, fn_output_signature=tf.TensorSpec(images.shape[1:]))


def _blur(images: tf.Tensor) -> tf.Tensor:
    """Gaussian blur with a standard deviation of one pixel."""
    kernel = tf.exp(-tf.square(tf.range(-2.0, 3.0)) / 2)
    kernel /= tf.reduce_sum(kernel)
    down = tf.nn.conv2d(images, kernel[:, None, None, None], 1, "SAME")
    return tf.nn.conv2d(down, kernel[None, :, None, None], 1, "SAME")


def _recode(images: tf.Tensor, draws: _Draws) -> tf.Tensor:
    """Save some scans as JPEG of a random quality and read them again."""
    qualities = tf.cast(draws.uniform(*map(float, _QUALITIES)), tf.int32)

    def recode(item: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, quality, chosen = item
        return tf.cond(
            chosen, lambda: 255 * tf.image.adjust_jpeg_quality(image / 255, quality), lambda: image
        )

    chosen = tf.reshape(draws.chosen(_RECODED), (-1,))
    recoded = tf.map_fn(recode, (images, qualities, chosen), fn_output_signature=tf.float32)
    return tf.ensure_shape(recoded, images.shape)


def _blank_border(images: tf.Tensor, draws: _Draws) -> tf.Tensor:
    size = images.shape[1]
    width = tf.where(draws.chosen(_BLANKED), draws.per_pixel(0.0, _BORDER * size), 0.0)
    place = tf.range(float(size))
    edge = tf.minimum(place, size - 1 - place)
    distance = tf.minimum(edge[:, None], edge[None, :])[None, :, :, None]
    return tf.where(distance >= tf.round(width), images, 0.0)
