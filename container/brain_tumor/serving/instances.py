"""Scans in JSON: TensorFlow Serving's row and column forms, and JSON Lines."""

import base64
import binascii
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from brain_tumor import images
from brain_tumor.errors import ImageError, PayloadError
from brain_tumor.images import Pixels
from brain_tumor.resources import release_memory
from brain_tumor.serving import numbers
from brain_tumor.serving.bodies import IN_MEMORY_BYTES, WHOLE_BYTES, Body, Item, Scans

SIGNATURE_NAMES = ("serving_default", "serving_bytes")
"""Those of the saved graph that a request may name: numbers, and encoded images."""
_INPUTS = ("images", "image_bytes")
"""What the inputs of those signatures are called in the graph."""
_STEP = 1 << 20
_FEW = 10_000
"""Instances that are turned into pixels in the time that a parsed document may be held back."""
# Parsed numbers take up to 34 times their text. Side by side nothing is gained: json holds the GIL.
_one_large_document = threading.Lock()


def read_document(body: Body, max_pixels: int) -> Scans:
    """Read `{"instances": [...]}` or `{"inputs": [...]}`; large documents one after the other.

    Raises:
        PayloadError: it is no JSON, has no such list, or names a signature that is not served.
    """
    with _turn(body.size):
        held = _instances(body)
        count = len(held)
        if count <= _FEW:
            held = [_compact(instance, max_pixels) for instance in held]
    return Scans(count, (_item(instance, max_pixels) for instance in held))


@contextmanager
def _turn(size: int) -> Iterator[None]:
    """Let one large document, or line, be parsed at a time, and give back what it took."""
    if size <= IN_MEMORY_BYTES:
        yield
        return
    with _one_large_document:
        yield
        # It would stay with the process, beside what the next one takes.
        release_memory()


def _compact(instance: Any, max_pixels: int) -> Any:
    """Turn numbers into pixels, which are smaller; encoded images would be larger."""
    value = _unnamed(instance)
    if _is_encoded(value):
        return {"b64": value["b64"]}
    return _item(value, max_pixels)


def _instances(body: Body) -> list[Any]:
    try:
        document = json.loads(body.whole())
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"The body is no JSON: {error}.") from error
    document = document if isinstance(document, dict) else {}
    _check_signature(document)
    if "instances" in document and "inputs" in document:
        raise PayloadError('The JSON has both "instances" (rows) and "inputs" (columns).')
    instances = document.get("instances", _unnamed(document.get("inputs")))
    if not isinstance(instances, list) or not instances:
        raise PayloadError(
            'The JSON has no list "instances" or "inputs", or an empty one. Wanted '
            '{"instances": [{"b64": "<base64 of an image file>"}]} or nested numbers 0-255 of '
            "shape (n, h, w), (n, h, w, 1) or (n, h, w, 3)."
        )
    return instances


def read_lines(body: Body, max_pixels: int) -> Scans:
    """Read one instance a line; a line that is none is an `ImageError` in its place."""
    return Scans(
        _count_lines(body.stream),
        (_line_item(line, max_pixels) for line in _lines(body.stream)),
    )


def _check_signature(document: dict[str, Any]) -> None:
    name = document.get("signature_name", SIGNATURE_NAMES[0])
    if name not in SIGNATURE_NAMES:
        raise PayloadError(
            f'"signature_name" is {str(name)[:200]!r}; wanted serving_default with numbers, '
            'serving_bytes with {"b64": "..."}, or none.'
        )


def _unnamed(value: Any) -> Any:
    """Take off the name of the graph's input: there is only one."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _INPUTS:
        return next(iter(value.values()))
    return value


def _item(instance: Any, max_pixels: int) -> Item:
    if isinstance(instance, np.ndarray | ImageError):
        return instance
    try:
        return _pixels(_unnamed(instance), max_pixels)
    except ImageError as error:
        # Its traceback would hold what could not be read for as long as the answer is made.
        return error.with_traceback(None)


def _pixels(instance: Any, max_pixels: int) -> Pixels:
    if _is_encoded(instance):
        return images.decode(_base64(instance["b64"]), max_pixels)
    if isinstance(instance, list):
        return numbers.from_lists(instance, max_pixels)
    raise ImageError('An instance is neither {"b64": "..."} nor nested numbers.')


def _is_encoded(instance: Any) -> bool:
    return isinstance(instance, dict) and isinstance(instance.get("b64"), str)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f'"b64" is not base64: {error}.') from error


def _line_item(line: bytes | ImageError, max_pixels: int) -> Item:
    if isinstance(line, ImageError):
        return line
    with _turn(len(line)):
        return _parse_line(line, max_pixels)


def _parse_line(line: bytes, max_pixels: int) -> Item:
    try:
        instance = json.loads(line)
    except (ValueError, RecursionError) as error:
        return ImageError(f"The line is no JSON: {error}.")
    return _item(instance, max_pixels)


def _count_lines(stream: BinaryIO) -> int:
    """Count them as `_lines` gives them: what follows the last newline is one, if there is any."""
    stream.seek(0)
    count, last = 0, b"\n"
    while piece := stream.read(_STEP):
        count += piece.count(b"\n")
        last = piece[-1:]
    return count + (last != b"\n")


def _lines(stream: BinaryIO) -> Iterator[bytes | ImageError]:
    stream.seek(0)
    while line := stream.readline(WHOLE_BYTES):
        if len(line) < WHOLE_BYTES or line.endswith(b"\n"):
            yield line
            continue
        while (rest := stream.readline(_STEP)) and not rest.endswith(b"\n"):
            pass
        yield ImageError(f"The line is longer than {WHOLE_BYTES / 1e6:g} MB.")
