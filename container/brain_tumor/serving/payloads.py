"""Request bodies to scans, and predictions to reply bodies. Knows no model."""

import base64
import binascii
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from brain_tumor import images
from brain_tumor.errors import (
    BrainTumorError,
    ImageError,
    PayloadError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)
from brain_tumor.images import Pixels
from brain_tumor.serving.classifier import Prediction

JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
NPY = "application/x-npy"
IMAGE_TYPES = (
    "image/jpeg",
    "image/png",
    "image/bmp",
    "image/gif",
    "image/webp",
    "image/tiff",
    "application/x-image",
)
REPLY_TYPES = (JSON, JSON_LINES, CSV)

_NPY_MAGIC = b"\x93NUMPY"

Item = Pixels | ImageError
"""A decoded scan, or why this one could not be read."""
Entry = Prediction | ImageError


def read_items(body: bytes, content_type: str, max_pixels: int, max_images: int) -> Iterator[Item]:
    """Read the scans of a request body.

    Args:
        body: the whole body.
        content_type: media type without parameters, lower case; empty when there was none.
        max_pixels: the largest image that is decoded.
        max_images: the most images that are read.

    Returns:
        One item a scan, in order, decoded as it is asked for: decoded scans can be a thousand
        times larger than the body. Where the format holds several, an unreadable one is an
        `ImageError` in its place.

    Raises:
        PayloadError: the body is empty, is not what its type promises, or holds too many images.
        ImageError: the only image cannot be read.
        UnsupportedMediaTypeError: a type that is not read.
    """
    if not body:
        raise PayloadError(
            "The body is empty. Usual cause: curl without --data-binary @FILE, or a redirect that "
            "dropped it."
        )
    if content_type in ("", "application/octet-stream"):
        content_type = _sniff(body)
    if content_type in IMAGE_TYPES or content_type.startswith("image/"):
        return iter([images.decode(body, max_pixels)])
    if content_type == JSON:
        read: Callable[[Any, int], Item] = _json_item
        instances = _parse_json(body)
    elif content_type == NPY:
        read = _numbers_item
        instances = _parse_npy_scans(body)
    else:
        raise UnsupportedMediaTypeError(
            f"Content-Type {content_type[:200]!r} is not read. Wanted one of: "
            f"{', '.join((*IMAGE_TYPES, JSON, NPY))}. With curl: -H 'Content-Type: image/jpeg'."
        )
    if len(instances) > max_images:
        raise PayloadTooLargeError(
            f"The body holds {len(instances)} images; at most {max_images} are read, the limit "
            "set by BRAIN_TUMOR_MAX_IMAGES. Send them in several requests."
        )
    if len(instances) == 1 and isinstance(item := read(instances[0], max_pixels), ImageError):
        raise item
    return (read(instance, max_pixels) for instance in instances)


def write_reply(entries: Sequence[Entry], media_type: str, classes: int) -> str:
    """Write one entry a scan as JSON, JSON Lines or CSV (`REPLY_TYPES`).

    Args:
        entries: what became of each scan.
        media_type: one of `REPLY_TYPES`.
        classes: number of classes, the fields of a CSV row.
    """
    if media_type == CSV:
        return "".join(f"{_csv_row(entry, classes)}\n" for entry in entries)
    written = [_json_entry(entry) for entry in entries]
    if media_type == JSON_LINES:
        return "".join(f"{json.dumps(entry)}\n" for entry in written)
    return json.dumps({"predictions": written}) + "\n"


def error_body(error: BrainTumorError) -> dict[str, Any]:
    """Return the JSON of an error; short, since the platform cuts it at 2048 characters."""
    # JSON writes a backslash as two characters and anything beyond ASCII as six or twelve.
    message = str(error).encode("ascii", "replace").decode()[:900]
    return {"error": {"code": error.code, "message": message}}


def _json_entry(entry: Entry) -> dict[str, Any]:
    return error_body(entry) if isinstance(entry, ImageError) else entry.as_json()


def _csv_row(entry: Entry, classes: int) -> str:
    if isinstance(entry, ImageError):
        # Plain CSV has no place for a message; the row must be there all the same.
        return "," * (classes - 1)
    return ",".join(f"{probability:.6f}" for probability in entry.probabilities.values())


def _sniff(body: bytes) -> str:
    if body.startswith(_NPY_MAGIC):
        return NPY
    return JSON if body.lstrip()[:1] == b"{" else "application/x-image"


def _parse_json(body: bytes) -> Sequence[Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"The body is no JSON: {error}.") from error
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list) or not instances:
        raise PayloadError(
            'The JSON has no list "instances", or an empty one. Wanted '
            '{"instances": [{"b64": "<base64 of an image file>"}]} or nested numbers 0-255 of '
            "shape (n, h, w), (n, h, w, 1) or (n, h, w, 3)."
        )
    return instances


def _json_item(instance: Any, max_pixels: int) -> Item:
    try:
        if isinstance(instance, dict) and isinstance(instance.get("b64"), str):
            return images.decode(_base64(instance["b64"]), max_pixels)
        if isinstance(instance, list):
            return images.from_numbers(_numbers(instance), max_pixels)
    except ImageError as error:
        return error
    return ImageError('An instance is neither {"b64": "..."} nor nested numbers.')


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f'"b64" is not base64: {error}.') from error


def _numbers(instance: list[Any]) -> NDArray[np.generic]:
    # As objects first: told to make text or ragged lists one array, numpy takes the memory of
    # the longest text for each element.
    elements = np.array(instance, dtype=object)
    if set(map(type, elements.flat)) <= {int, float, bool}:
        with suppress(OverflowError):
            return elements.astype(np.float64)
    raise ImageError(
        "The numbers of an instance are ragged or no numbers; wanted shape (h, w), (h, w, 1) or "
        "(h, w, 3)."
    )


def _parse_npy_scans(body: bytes) -> Sequence[NDArray[np.generic]]:
    array = _parse_npy(body)
    one_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3))
    scans = array[np.newaxis] if one_image else array
    right = scans.ndim == 3 or (scans.ndim == 4 and scans.shape[3] in (1, 3))
    if not right or not scans.size:
        raise PayloadError(
            f"The npy array has shape {array.shape}; wanted (h, w), (h, w, c), (n, h, w) or "
            "(n, h, w, c) with n of at least 1 and c of 1 or 3."
        )
    # An array is a sequence of its scans, without a copy.
    return cast("Sequence[NDArray[np.generic]]", scans)


def _numbers_item(scan: NDArray[np.generic], max_pixels: int) -> Item:
    try:
        return images.from_numbers(scan, max_pixels)
    except ImageError as error:
        return error


def _parse_npy(body: bytes) -> NDArray[np.generic]:
    """Read an npy file without pickle, and without trusting the size its header names."""
    stream = io.BytesIO(body)
    try:
        version = npy_format.read_magic(stream)
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(stream)
    # The header is Python source, and numpy's reader of it raises nearly anything.
    except Exception as error:
        raise PayloadError(f"The body is no npy file of version 1 or 2: {error}.") from error
    data = body[stream.tell() :]
    if dtype.hasobject or dtype.kind not in "buif":
        raise PayloadError(f"The npy array holds {dtype}; wanted numbers 0-255 (no pickle).")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise PayloadError(
            f"The npy header names {shape} of {dtype}, but {len(data)} bytes follow. Usual cause: "
            "a truncated upload."
        )
    try:
        array: NDArray[np.generic] = np.frombuffer(data, dtype)
        return array.reshape(shape, order="F" if fortran_order else "C")
    except (ValueError, TypeError, OverflowError) as error:
        raise PayloadError(f"The npy header names {shape}, which is no shape: {error}.") from error
