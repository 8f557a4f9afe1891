"""A request's body: in memory while it is small, in a file in /tmp once it is not."""

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from brain_tumor.errors import ImageError, OverloadedError, PayloadError, PayloadTooLargeError
from brain_tumor.images import Pixels, Slices

IN_MEMORY_BYTES = 4_000_000
"""Larger bodies go to disk: a scan is far smaller, and up to 127 requests are read at once."""
WHOLE_BYTES = 100_000_000
"""The largest thing that is taken into memory as a whole: an image, a JSON document, a line."""
_STEP = 1 << 20

Item = Pixels | ImageError
"""A decoded scan, or why this one could not be read."""


@dataclass(frozen=True)
class Body:
    """A body that has arrived, and what its Content-Type says of it."""

    stream: BinaryIO
    """The bytes, from the start; can be read again after `seek`."""
    size: int
    """In bytes."""
    media_type: str
    """Without parameters, lower case; empty when there was none."""
    parameters: Mapping[str, str]
    """Those of the Content-Type, such as `boundary`."""

    def whole(self) -> bytes:
        """Return all bytes; of a small body without a copy.

        Raises:
            PayloadTooLargeError: more than `WHOLE_BYTES`.
        """
        if self.size > WHOLE_BYTES:
            raise PayloadTooLargeError(
                f"One image or JSON document of {self.size / 1e6:.0f} MB; at most "
                f"{WHOLE_BYTES / 1e6:g} MB are read as a whole. Send many scans as "
                "application/jsonlines, application/x-npy or multipart/form-data."
            )
        self.stream.seek(0)
        return self.stream.read()


@dataclass(frozen=True)
class Scans:
    """What a body holds."""

    count: int
    """Number of items."""
    items: Iterator[Item]
    """Decoded as they are asked for: decoded scans can be a thousand times larger than the body."""
    is_volume: bool = False
    """They are the slices of one file, so that one may be asked for that matters most."""
    frames: Slices | None = None
    """The frames of a DICOM file, of which an operator may want the middle one alone."""


@contextmanager
def receive(
    source: IO[bytes],
    length: int | None,
    max_mb: float,
    media_type: str,
    parameters: Mapping[str, str],
) -> Iterator[Body]:
    """Read a body to its end, and keep it until the block ends.

    Args:
        source: the connection; ends where the body ends.
        length: its Content-Length, None for a chunked body.
        max_mb: the limit; a body that names a greater length is refused unread. Werkzeug's own
            limit cuts a chunked body short without a word (3.1.9), so it is not used.
        media_type: see `Body`.
        parameters: see `Body`.

    Raises:
        PayloadError: the connection was cut, the client stalls, or chunks are broken.
        PayloadTooLargeError: the body is larger than the limit.
        OverloadedError: /tmp has no room for it.
    """
    limit = int(max_mb * 1_000_000)
    if (length or 0) > limit:
        raise _too_large(max_mb)
    data = _read(source, min(limit, IN_MEMORY_BYTES) + 1)
    if len(data) > limit:
        raise _too_large(max_mb)
    if len(data) <= IN_MEMORY_BYTES:
        # Shares the bytes: reading them back copies nothing.
        yield Body(io.BytesIO(data), len(data), media_type, parameters)
        return
    with _file() as file:
        size = len(data)
        while data:
            _write(file, data)
            data = _read(source, min(_STEP, limit + 1 - size))
            size += len(data)
            if size > limit:
                raise _too_large(max_mb)
        file.seek(0)
        yield Body(file, size, media_type, parameters)


def _read(source: IO[bytes], size: int) -> bytes:
    try:
        return source.read(size)
    except BlockingIOError as error:
        raise PayloadError(
            "The rest of the body did not come within BRAIN_TUMOR_STALL_SECONDS. Usual cause: a "
            "Content-Length greater than what is sent."
        ) from error
    # gunicorn's own errors for broken chunks, and a connection that was cut.
    except Exception as error:
        raise PayloadError(f"The body cannot be read: {error!r}.") from error


def _file() -> BinaryIO:
    try:
        return cast("BinaryIO", tempfile.TemporaryFile())
    except OSError as error:
        raise _no_room(error) from error


def _write(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
        # Otherwise the end of it is written later, where nobody expects a full disk.
        file.flush()
    except OSError as error:
        # To close it writes the rest again, and fails again.
        with suppress(OSError):
            file.close()
        raise _no_room(error) from error


def _no_room(error: OSError) -> OverloadedError:
    return OverloadedError(
        f"No room for a body above {IN_MEMORY_BYTES / 1e6:g} MB in the folder for temporary "
        f"files: {error.strerror}. Ask again later, or send fewer scans in a request."
    )


def _too_large(max_mb: float) -> PayloadTooLargeError:
    return PayloadTooLargeError(
        f"The body is larger than {max_mb:g} MB, the limit set by BRAIN_TUMOR_MAX_BODY_MB. "
        "Usual cause: raw numbers as JSON; send the image file itself."
    )
