"""Ways in which a scan may look different: artefacts, other poses, and parts blanked out.

Every one takes scans (n, size, size) uint8 0-255 at the network's size and returns the same shape
and type. Lengths in pixels are given for 224 px and follow the size.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from brain_tumor.images import resize

Scans = NDArray[np.uint8]
Corruption = Callable[[Scans], Scans]

_SEED = 0
_REFERENCE = 224


def _length(scans: Scans, pixels: float) -> float:
    size: int = scans.shape[1]
    return pixels * size / _REFERENCE


def _as_pixels(values: NDArray[np.floating]) -> Scans:
    pixels: Scans = np.rint(values).clip(0, 255).astype(np.uint8)
    return pixels


def add_noise(scans: Scans) -> Scans:
    """Add Gaussian noise with a standard deviation of 15 grey levels."""
    random = np.random.default_rng(_SEED)
    noise = random.standard_normal(scans.shape, np.float32) * 15
    return _as_pixels(scans + noise)


def blur(scans: Scans) -> Scans:
    """Blur with a Gaussian of 2 px."""
    sigma = _length(scans, 2)
    return _as_pixels(ndimage.gaussian_filter(scans.astype(np.float32), (0, sigma, sigma)))


def compress(scans: Scans) -> Scans:
    """Save as JPEG of quality 20 and read back."""

    def saved(scan: Scans) -> Scans:
        data = io.BytesIO()
        Image.fromarray(scan).save(data, "JPEG", quality=20)
        return np.asarray(Image.open(data))

    return np.stack([saved(scan) for scan in scans])


def brighten(scans: Scans) -> Scans:
    """Add 40 grey levels."""
    return _as_pixels(scans + np.float32(40))


def darken(scans: Scans) -> Scans:
    """Take away 40 grey levels."""
    return _as_pixels(scans - np.float32(40))


def flatten_contrast(scans: Scans) -> Scans:
    """Bring every grey level to 60 % of its distance from the scan's mean."""
    mean = scans.mean(axis=(1, 2), keepdims=True)
    return _as_pixels(mean + 0.6 * (scans - mean))


def lift_shadows(scans: Scans) -> Scans:
    """Apply a gamma of 0.6."""
    return _as_pixels(255 * (scans / 255) ** 0.6)


def deepen_shadows(scans: Scans) -> Scans:
    """Apply a gamma of 1.6."""
    return _as_pixels(255 * (scans / 255) ** 1.6)


def rotate(scans: Scans) -> Scans:
    """Turn by 10 degrees; what comes in at the corners is black."""
    return ndimage.rotate(scans, 10, axes=(2, 1), reshape=False, order=1)


def shift(scans: Scans) -> Scans:
    """Move 16 px to the right and 16 px down; what comes in is black."""
    distance = round(_length(scans, 16))
    moved = np.zeros_like(scans)
    moved[:, distance:, distance:] = scans[:, :-distance, :-distance]
    return moved


def halve_resolution(scans: Scans) -> Scans:
    """Scale to half the size and back."""
    size = scans.shape[1]
    return np.stack([resize(resize(scan, size // 2), size) for scan in scans])


def add_salt_and_pepper(scans: Scans) -> Scans:
    """Make 1 % of the pixels black and 1 % white."""
    drawn = np.random.default_rng(_SEED).random(scans.shape, np.float32)
    dotted = np.where(drawn < 0.01, np.uint8(0), scans)
    return np.where(drawn > 0.99, np.uint8(255), dotted)


def add_stripes(scans: Scans) -> Scans:
    """Add slanted stripes of 20 grey levels, as one wrong point in k-space gives."""
    across, down = np.meshgrid(*2 * [np.arange(scans.shape[1]) / scans.shape[1]])
    stripes = 20 * np.sin(2 * np.pi * (18 * across + 11 * down))
    return _as_pixels(scans + stripes.astype(np.float32))


def mirror(scans: Scans) -> Scans:
    """Exchange left and right."""
    return scans[:, :, ::-1].copy()


def turn_upside_down(scans: Scans) -> Scans:
    """Exchange top and bottom."""
    return scans[:, ::-1].copy()


def blank_border(scans: Scans) -> Scans:
    """Make the outer ring of 8 px black."""
    blanked = np.zeros_like(scans)
    inner = _inner(scans, 8)
    blanked[inner] = scans[inner]
    return blanked


def keep_border_only(scans: Scans) -> Scans:
    """Make all but the outer ring of 8 px black: no brain is left."""
    blanked = scans.copy()
    blanked[_inner(scans, 8)] = 0
    return blanked


def blank_centre(scans: Scans) -> Scans:
    """Make all but the outer ring of 28 px black: most of the head is gone."""
    blanked = scans.copy()
    blanked[_inner(scans, 28)] = 0
    return blanked


def _inner(scans: Scans, ring: float) -> tuple[slice, slice, slice]:
    width = max(1, round(_length(scans, ring)))
    return slice(None), slice(width, -width), slice(width, -width)


CORRUPTIONS: dict[str, Corruption] = {
    "noise, 15 grey levels": add_noise,
    "blur, 2 px": blur,
    "JPEG, quality 20": compress,
    "brighter by 40": brighten,
    "darker by 40": darken,
    "contrast x 0.6": flatten_contrast,
    "gamma 0.6": lift_shadows,
    "gamma 1.6": deepen_shadows,
    "turned by 10 degrees": rotate,
    "moved by 16 px": shift,
    "half the resolution": halve_resolution,
    "salt and pepper, 2 %": add_salt_and_pepper,
    "stripes, 20 grey levels": add_stripes,
}
"""What may happen to a scan on its way; accuracy should hardly fall."""

POSES: dict[str, Corruption] = {"mirrored": mirror, "upside down": turn_upside_down}
"""Accuracy should not fall when mirrored; heads do not come upside down."""

BLANKED: dict[str, Corruption] = {
    "border blanked (outer 8 px)": blank_border,
    "centre blanked (all but the outer 28 px)": blank_centre,
    "only the border left (outer 8 px)": keep_border_only,
}
"""The shortcut audit: without the border accuracy should stay, with nothing else it should fall to
the share of the largest class."""
