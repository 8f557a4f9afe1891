"""Image bytes to pixels: the only decoder, for training and for serving.

Both halves call `decode` and `resize`, so that a scan becomes the same pixels in both to the bit.
A scan has one grey channel: in the public data sets the colour mode of a file predicts its class,
and a network that never sees colour cannot learn that.
"""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from brain_tumor.errors import ImageError, ImageTooLargeError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
MAX_PIXELS = 50_000_000

PERCENTILES = (0.5, 99.5)
"""What is shown black and white where a file does not say it: a few bright voxels, as of vessels,
would leave all else dark."""
_MOST_OBLONG = 20
"""Pixels longer than this many times their width are a mistake in the file."""

_BLOCK = 1 << 18
"""Numbers that are scaled together."""

GZIP_MAGIC = b"\x1f\x8b"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Slices:
    """The pictures of a file that may hold several."""

    count: int
    decode: Callable[[int], Pixels]
    """Takes a position from 0; raises `ImageError` where that one cannot be read."""


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode one encoded image (the first frame of several) to grey pixels.

    EXIF rotation is applied, transparency is laid on black, 16-bit values are scaled to 8 bits.

    Returns:
        (height, width), uint8, 0-255.

    Raises:
        ImageTooLargeError: more than `max_pixels` pixels, seen from the header alone.
        ImageError: no image of a known format, or a damaged one.
    """
    if not data:
        raise ImageError("The image is empty (0 bytes). Usual cause: a failed upload.")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_pixels(image.width, image.height, max_pixels)
            image.load()
            return _grey(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ImageError(
            f"The first bytes {data[:8]!r} are those of no image; wanted one of "
            f"{', '.join(FORMATS)}. Usual cause: another kind of file under an image's name."
        ) from error
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(
            f"At most {max_pixels / 1e6:g} million pixels are read: {error}"
        ) from error
    # Decoders of damaged files raise nearly anything; all else is the file's fault.
    except Exception as error:
        raise ImageError(
            f"The image is damaged: {error}. Usual cause: a truncated upload or copy."
        ) from error


def format_and_mode(data: bytes) -> tuple[str, str]:
    """Read a decodable image's format (JPEG, ...) and colour mode (L, RGB, ...) from its header."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return str(image.format), image.mode


def resize(pixels: Pixels, size: int) -> Pixels:
    """Scale (height, width) uint8 to (size, size) uint8, antialiased bilinear."""
    if pixels.shape == (size, size):
        return pixels
    image = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)


def from_numbers(values: NDArray[np.generic], max_pixels: int = MAX_PIXELS) -> Pixels:
    """Take numbers 0-255 of shape (h, w), (h, w, 1) or (h, w, 3) as decoded pixels.

    Raises:
        ImageError: another shape, a value that is not finite or outside 0-255.
        ImageTooLargeError: more than `max_pixels` pixels.
    """
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    colour = values.ndim == 3 and values.shape[2] == 3
    if not (values.ndim == 2 or colour) or 0 in values.shape:
        raise ImageError(
            f"Numbers of shape {values.shape} are no image; wanted (h, w), (h, w, 1) or (h, w, 3)."
        )
    check_pixels(values.shape[1], values.shape[0], max_pixels)
    if values.dtype.kind not in "buif":
        raise ImageError(f"Pixels of type {values.dtype} are no numbers; wanted 0-255.")
    if values.dtype == np.uint8:
        return _grey(Image.fromarray(values))
    # What is not a number fails both.
    if not (values.min() >= 0 and values.max() <= 255):
        raise ImageError(
            "Pixels must be finite numbers from 0 to 255. Usual cause: values already scaled to "
            "-1..1 or standardised."
        )
    pixels = np.empty(values.shape, np.uint8)
    # Straight into its place: in float64 a colour pixel takes 24 bytes.
    return _grey(Image.fromarray(np.rint(values, out=pixels, casting="unsafe")))


def is_dicom(start: bytes) -> bool:
    """Tell by the first 132 bytes whether a file is DICOM; a few old ones do not say so."""
    return start[128:132] == b"DICM"


def is_nifti(start: bytes) -> bool:
    """Tell by the first 348 bytes whether a file is NIfTI, or the header of a pair of files."""
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2")


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Make an `ImageError` of whatever a damaged medical file raises, without what it says.

    Its header names a patient, and a damaged one has anything anywhere.
    """
    try:
        # What NumPy finds odd on the way is no warning but a grey value.
        with np.errstate(all="ignore"):
            yield
    # Memory that runs out is not the file's fault.
    except (ImageError, MemoryError):
        raise
    except Exception:
        raise ImageError(
            f"The {kind} file is damaged: its header or its pixels cannot be read. Usual cause: a "
            "truncated upload or copy."
        ) from None


def to_grey(values: NDArray[np.generic], black: float, white: float) -> Pixels:
    """Scale numbers linearly so that `black` and below become 0, `white` and above 255.

    Where the two are equal, what is above them is white.
    """
    grey = np.empty(values.shape, np.uint8)
    # Some rows at a time: in float64 50 million pixels take 0.4 GB.
    step = max(1, _BLOCK // values[0].size)
    for start in range(0, len(values), step):
        rows = slice(start, start + step)
        grey[rows] = _block_to_grey(values[rows], black, white)
    return grey


def _block_to_grey(values: NDArray[np.generic], black: float, white: float) -> Pixels:
    numbers = np.array(values, np.float64)
    if white <= black:
        return np.where(numbers > black, 255, 0).astype(np.uint8)
    numbers -= black
    numbers *= 255 / (white - black)
    np.nan_to_num(numbers, copy=False)
    np.clip(numbers, 0, 255, out=numbers)
    return np.rint(numbers, out=numbers).astype(np.uint8)


def square_shape(
    height: int, width: int, spacing: tuple[float, float], max_pixels: int
) -> tuple[int, int]:
    """Give the shape that `with_square_pixels` makes of an image, from its header alone.

    Args:
        height: rows.
        width: columns.
        spacing: from row to row and from column to column; only their ratio counts.
        max_pixels: the most pixels that the image may have, before and after.

    Raises:
        ImageError: no spacing that a scan can have.
        ImageTooLargeError: more than `max_pixels` pixels.
    """
    check_pixels(width, height, max_pixels)
    rows, columns = spacing
    usable = all(math.isfinite(step) and step > 0 for step in spacing)
    if not usable or max(rows / columns, columns / rows) > _MOST_OBLONG:
        raise ImageError(
            f"Pixels of {rows:g} x {columns:g} are no pixels of a scan; wanted a spacing above 0 "
            f"and a ratio of at most {_MOST_OBLONG}. Usual cause: a conversion that lost it."
        )
    # The coarser direction is filled up, so that no detail is lost.
    shape = round(height * max(1, rows / columns)), round(width * max(1, columns / rows))
    check_pixels(shape[1], shape[0], max_pixels)
    return shape


def with_square_pixels(
    pixels: Pixels, spacing: tuple[float, float], max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Scale (height, width) so that a pixel is as high as wide and anatomy keeps its shape.

    Raises:
        ImageError: no spacing that a scan can have.
    """
    height, width = square_shape(pixels.shape[0], pixels.shape[1], spacing, max_pixels)
    if (height, width) == pixels.shape:
        return pixels
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Count the pixels of an image.

    Raises:
        ImageTooLargeError: more than `max_pixels`.
    """
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"The image has {width} x {height} pixels; at most {max_pixels / 1e6:g} million are "
            "read. Scale it down: the network sees far fewer."
        )


def _grey(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        # 65535 / 255 = 257: white stays white and black stays black.
        return np.rint(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8)
    if image.mode in ("I", "F"):
        raise ImageError(
            f"Pixels of mode {image.mode} (32 bits) have no known range; wanted 8 or 16 bits."
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    # Where they are of that mode already it would only copy them.
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return np.array(image.convert("L"), dtype=np.uint8)
