"""Request bodies for tests, and what the server reads in them."""

import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import ImageError
from brain_tumor.images import Pixels
from brain_tumor.serving.bodies import Body, Item
from brain_tumor.serving.payloads import read_body

MAX_IMAGES = 100
MAX_PIXELS = 1_000_000


def body_of(data: bytes, content_type: str, parameters: Mapping[str, str] | None = None) -> Body:
    """Give a body that has arrived."""
    return Body(io.BytesIO(data), len(data), content_type, parameters or {})


def read(data: bytes, content_type: str, **options: Any) -> list[Item]:
    """Give all that is read in a body."""
    scans = read_body(body_of(data, content_type), MAX_PIXELS, MAX_IMAGES, **options)
    items = list(scans.items)
    assert len(items) == scans.count
    return items


def pixels_of(items: list[Item]) -> list[Pixels]:
    """Check that all could be read."""
    assert not [item for item in items if isinstance(item, ImageError)]
    return [item for item in items if not isinstance(item, ImageError)]


def npy(array: NDArray[Any]) -> bytes:
    """Write an array as an npy file."""
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def b64(data: bytes) -> dict[str, str]:
    """Write a file as an instance of JSON."""
    return {"b64": base64.b64encode(data).decode()}


def instances(*values: Any) -> bytes:
    """Write instances in TensorFlow Serving's row form."""
    return json.dumps({"instances": values}).encode()
