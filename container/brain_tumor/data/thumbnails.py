"""Thumbnails by which scans are compared: of the whole picture, and of the head alone.

The head is cut out by its bounding box, so that copies that were padded, cropped or scaled in
another way match again. A thumbnail's grey values are stretched to 0-255: a correlation does not
change by that, and a dark scan keeps its detail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.data.stored_pixels import Rows, StoredPixels
from brain_tumor.images import Pixels

SIZE = 56
"""Height and width of a thumbnail, pixels."""

# Below this range of grey values a thumbnail shows nothing but noise; it would match anything.
_LEAST_CONTRAST = 8.0
_WORKING_SIZE = 224
_SHARE_OF_LINE = 0.03
_ABOVE_BACKGROUND = 0.15


@dataclass(frozen=True)
class Thumbnails:
    """One row a scan; a row of zeros shows nothing and matches nothing."""

    whole: StoredPixels
    """(n, 56, 56), 0-255, of the whole picture."""
    head: StoredPixels
    """(n, 56, 56), 0-255, of the bounding box of the head."""

    def __len__(self) -> int:
        return len(self.whole)

    @classmethod
    def empty(cls) -> Self:
        """Begin without a row."""
        return cls(StoredPixels(SIZE, SIZE), StoredPixels(SIZE, SIZE))

    @classmethod
    def joined(cls, parts: Sequence["Thumbnails"]) -> Self:
        """Put the rows of some below those of others."""
        return cls(
            StoredPixels.of(*(part.whole for part in parts)),
            StoredPixels.of(*(part.head for part in parts)),
        )

    def rows(self, chosen: Rows) -> "Thumbnails":
        """Return these rows only."""
        return Thumbnails(self.whole.rows(chosen), self.head.rows(chosen))


def draw_thumbnails(pixels: Pixels) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw the thumbnails of one scan.

    Args:
        pixels: (height, width), 0-255.

    Returns:
        Of the whole picture and of the head, both (56, 56), 0-255.
    """
    image = Image.fromarray(pixels)
    return _stretched(image, (0, 0, *image.size)), _stretched(image, head_box(pixels))


def head_box(pixels: Pixels) -> tuple[float, float, float, float]:
    """Find the bounding box of what is brighter than the background.

    A row or column belongs to the head when enough of it is brighter than the background; single
    bright dots (noise, letters) do not count.

    Returns:
        (left, upper, right, lower), pixels; the whole picture when nothing stands out.
    """
    height, width = pixels.shape
    step = max(1, min(height, width) // _WORKING_SIZE)
    small = np.asarray(Image.fromarray(pixels).reduce(step))
    dark = np.percentile(small, 2)
    # Of what is not background, so that padding does not move the threshold.
    visible = small[small > dark + _LEAST_CONTRAST]
    if not visible.size:
        return (0, 0, width, height)
    inside = small > dark + _ABOVE_BACKGROUND * (np.percentile(visible, 95) - dark)
    rows, columns = (
        np.flatnonzero(inside.mean(axis) > _SHARE_OF_LINE * inside.mean(axis).max())
        for axis in (1, 0)
    )
    if min(len(rows), len(columns)) < SIZE // 8:
        return (0, 0, width, height)
    # Pillow's `reduce` rounds up: the last line may stand for fewer lines than `step`.
    right, lower = (columns[-1] + 1) * step, (rows[-1] + 1) * step
    return (
        float(columns[0] * step),
        float(rows[0] * step),
        float(min(right, width)),
        float(min(lower, height)),
    )


def _stretched(image: Image.Image, box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    # Hamming keeps more detail than bilinear, and it is detail that tells slices apart.
    values = np.asarray(
        image.convert("F").resize((SIZE, SIZE), Image.Resampling.HAMMING, box=box), np.float32
    )
    low, high = float(values.min()), float(values.max())
    if high - low < _LEAST_CONTRAST:
        return np.zeros((SIZE, SIZE), np.uint8)
    stretched: NDArray[np.uint8] = np.rint((values - low) * (255 / (high - low))).astype(np.uint8)
    return stretched
