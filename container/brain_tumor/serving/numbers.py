"""Numbers as scans: nested lists of JSON, and npy arrays, read scan by scan and without pickle."""

import io
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from brain_tumor import images
from brain_tumor.errors import ImageError, PayloadError
from brain_tumor.images import Pixels
from brain_tumor.serving.bodies import Body, Item, Scans

NPY_MAGIC = b"\x93NUMPY"
# numpy itself reads no header above 10,000 characters; the rest is magic, version and length.
_LARGEST_HEADER = 10_100

Array = NDArray[np.generic]


def from_lists(instance: list[Any], max_pixels: int) -> Pixels:
    """Take nested lists of numbers 0-255 as decoded pixels.

    Raises:
        ImageError: they are ragged, no numbers, or no image.
    """
    # As objects first: told to make text or ragged lists one array, numpy takes the memory of
    # the longest text for each element.
    elements = np.array(instance, dtype=object)
    # numpy walks through no more than 32 axes.
    if elements.ndim <= 32 and set(map(type, elements.flat)) <= {int, float, bool}:
        with suppress(OverflowError):
            return images.from_numbers(elements.astype(np.float64), max_pixels)
    raise ImageError(
        "The numbers of an instance are ragged or no numbers; wanted shape (h, w), (h, w, 1) or "
        "(h, w, 3)."
    )


def read_npy(body: Body, max_pixels: int) -> Scans:
    """Read the scans of an npy file, without trusting the size that its header names.

    Raises:
        PayloadError: it is no npy file of numbers, is cut, or has another shape.
        ImageTooLargeError: its scans have more than `max_pixels` pixels.
        PayloadTooLargeError: several scans in Fortran order, which lie in each other, above the
            size of what is read as a whole.
    """
    shape, fortran_order, dtype, start = _header(body.stream)
    if dtype.hasobject or dtype.kind not in "buif":
        raise PayloadError(f"The npy array holds {dtype}; wanted numbers 0-255 (no pickle).")
    size = body.size - start
    if math.prod(shape) * dtype.itemsize != size:
        raise PayloadError(
            f"The npy header names {shape} of {dtype}, but {size} bytes follow. Usual cause: "
            "a truncated upload."
        )
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise PayloadError(f"The npy header names {shape}, which is no shape.")
    one = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    scans = (1, *shape) if one else shape
    if not (len(scans) == 3 or (len(scans) == 4 and scans[3] in (1, 3))) or not size:
        raise PayloadError(
            f"The npy array has shape {shape}; wanted (h, w), (h, w, c), (n, h, w) or "
            "(n, h, w, c) with n of at least 1 and c of 1 or 3."
        )
    images.check_pixels(scans[2], scans[1], max_pixels)
    if fortran_order:
        data = np.frombuffer(body.whole(), dtype, offset=start).reshape(shape, order="F")
        arrays: Iterator[Array] = iter(data.reshape(scans) if one else data)
    else:
        arrays = _one_by_one(body, start, scans, dtype)
    return Scans(scans[0], (_item(array, max_pixels) for array in arrays))


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, Any, int]:
    head = io.BytesIO(stream.read(_LARGEST_HEADER))
    try:
        version = npy_format.read_magic(head)
        read = {
            (1, 0): npy_format.read_array_header_1_0,
            (2, 0): npy_format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = read(head)
    # The header is Python source, and numpy's reader of it raises nearly anything, with addresses
    # of its objects in it.
    except Exception as error:
        raise PayloadError(
            "The body is no npy file of version 1 or 2, or its header is damaged. Usual cause: "
            "another kind of file; write it with numpy.save."
        ) from error
    return shape, fortran_order, dtype, head.tell()


def _one_by_one(body: Body, start: int, scans: tuple[int, ...], dtype: Any) -> Iterator[Array]:
    size = math.prod(scans[1:]) * dtype.itemsize
    for number in range(scans[0]):
        body.stream.seek(start + number * size)
        yield np.frombuffer(body.stream.read(size), dtype).reshape(scans[1:])


def _item(array: Array, max_pixels: int) -> Item:
    try:
        return images.from_numbers(array, max_pixels)
    except ImageError as error:
        return error
