"""Scans in multipart/form-data: each file of a form, in order, read one at a time."""

from collections.abc import Iterator

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import (
    NEED_DATA,
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
)

from brain_tumor import images
from brain_tumor.errors import ImageError, PayloadError
from brain_tumor.serving.bodies import WHOLE_BYTES, Body, Item, Scans

_STEP = 1 << 18
# A step, and what is left of the one before. Only the head of a part that never ends needs more.
_BUFFER = 2 * _STEP


def read_form(body: Body, max_pixels: int) -> Scans:
    """Read every file of a form; fields that are no files are skipped.

    Raises:
        PayloadError: it is no form, is cut, or holds no file.
    """
    count = sum(isinstance(event, File) for event in _events(body))
    if not count:
        raise PayloadError(
            "The form holds no file. Usual cause: a field without a file name; with curl: "
            "-F file=@scan.jpg."
        )
    return Scans(count, (_item(file, max_pixels) for file in _files(body)))


def _item(file: bytes | None, max_pixels: int) -> Item:
    if file is None:
        return ImageError(f"The file is larger than {WHOLE_BYTES / 1e6:g} MB.")
    try:
        return images.decode(file, max_pixels)
    except ImageError as error:
        return error


def _files(body: Body) -> Iterator[bytes | None]:
    """Give the content of each file, None for one that is too large to be taken into memory."""
    pieces: list[bytes] = []
    size, is_file = 0, False
    for event in _events(body):
        if isinstance(event, File | Field):
            pieces, size, is_file = [], 0, isinstance(event, File)
        elif isinstance(event, Data) and is_file:
            size += len(event.data)
            if size <= WHOLE_BYTES:
                pieces.append(event.data)
            if not event.more_data:
                yield b"".join(pieces) if size <= WHOLE_BYTES else None


def _events(body: Body) -> Iterator[Event]:
    boundary = body.parameters.get("boundary", "")
    if not boundary:
        raise PayloadError(
            "The Content-Type multipart/form-data names no boundary. Usual cause: the header was "
            "set by hand; the client that makes the form must set it."
        )
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), _BUFFER)
    body.stream.seek(0)
    try:
        event: Event = NEED_DATA
        while not isinstance(event, Epilogue):
            event = decoder.next_event()
            if event is NEED_DATA:
                decoder.receive_data(body.stream.read(_STEP) or None)
            yield event
    except (ValueError, RequestEntityTooLarge) as error:
        raise PayloadError(
            f"The form cannot be read: {error}. Usual cause: a truncated upload."
        ) from error
