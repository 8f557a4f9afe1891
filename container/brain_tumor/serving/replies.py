"""What became of each scan, to the body of a reply: which media type is written how."""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from brain_tumor.errors import BrainTumorError, ImageError
from brain_tumor.serving.classifier import Prediction
from brain_tumor.serving.payloads import JSON, JSON_LINES, NPY
from brain_tumor.serving.suspicion import most_suspicious

CSV = "text/csv"

Entry = Prediction | ImageError
Writer = Callable[[Sequence[Entry], int], bytes]
"""Takes one entry a scan and the number of classes."""


@dataclass(frozen=True)
class ReplyType:
    """How entries are written."""

    write: Writer
    in_parts: bool = False
    """What is written of some entries, put after what is written of those before, is the body."""
    write_volume: Writer | None = None
    """For the slices of a volume, where there is more to say of them."""


def write_reply(
    parts: Iterable[Sequence[Entry]],
    media_type: str,
    classes: int,
    is_volume: bool = False,
    timed: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Iterator[bytes]:
    """Write the body, in as many pieces as can be sent before the last part is there.

    Args:
        parts: the entries of all scans, in order.
        media_type: one of `REPLY_TYPES`.
        classes: number of classes, the fields of a CSV row.
        is_volume: the scans are slices of one volume.
        timed: a context for each time that something is written.
    """
    reply = REPLY_TYPES[media_type]
    write = (is_volume and reply.write_volume) or reply.write
    for entries in parts if reply.in_parts else [list(chain.from_iterable(parts))]:
        with timed():
            piece = write(entries, classes)
        yield piece


def error_body(error: BrainTumorError) -> dict[str, Any]:
    """Return the JSON of an error; short, since the platform cuts it at 2048 characters."""
    # JSON writes a backslash as two characters and anything beyond ASCII as six or twelve.
    message = str(error).encode("ascii", "replace").decode()[:900]
    return {"error": {"code": error.code, "message": message}}


def _json_entry(entry: Entry) -> dict[str, Any]:
    return error_body(entry) if isinstance(entry, ImageError) else entry.as_json()


def _json(entries: Sequence[Entry], _: int) -> bytes:
    return _document(entries)


def _json_volume(entries: Sequence[Entry], _: int) -> bytes:
    return _document(entries, most_suspicious=most_suspicious(entries))


def _document(entries: Sequence[Entry], **more: Any) -> bytes:
    document = {"predictions": [_json_entry(entry) for entry in entries], **more}
    return (json.dumps(document) + "\n").encode()


def _json_lines(entries: Sequence[Entry], _: int) -> bytes:
    return "".join(f"{json.dumps(_json_entry(entry))}\n" for entry in entries).encode()


def _csv(entries: Sequence[Entry], classes: int) -> bytes:
    return "".join(f"{_csv_row(entry, classes)}\n" for entry in entries).encode()


def _csv_row(entry: Entry, classes: int) -> str:
    if isinstance(entry, ImageError):
        # Plain CSV has no place for a message; the row must be there all the same.
        return "," * (classes - 1)
    return ",".join(f"{probability:.6f}" for probability in entry.probabilities.values())


def _npy(entries: Sequence[Entry], classes: int) -> bytes:
    table = np.full((len(entries), classes), np.nan, np.float32)
    for row, entry in zip(table, entries, strict=True):
        if not isinstance(entry, ImageError):
            row[:] = list(entry.probabilities.values())
    data = io.BytesIO()
    np.save(data, table)
    return data.getvalue()


REPLY_TYPES: dict[str, ReplyType] = {
    JSON: ReplyType(_json, write_volume=_json_volume),
    JSON_LINES: ReplyType(_json_lines, in_parts=True),
    CSV: ReplyType(_csv),
    NPY: ReplyType(_npy),
}
"""The first is the default; a new type is one line here."""
