"""TFRecord and RecordIO: how a stream is cut into records. Neither wants to go back in a stream.

TFRecord (tensorflow/core/lib/io/record_writer.h): uint64 length, its masked CRC, the data, their
masked CRC. RecordIO (dmlc-core, include/dmlc/recordio.h), in which SageMaker wraps what it streams:
uint32 magic number, uint32 of 3 bits continuation and 29 bits length, the data, filled up to a
multiple of four; data that hold the magic number themselves are cut there. All little-endian.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO

from brain_tumor.errors import DataError

_MAGIC = struct.pack("<I", 0xCED7230A)
_LENGTH_BITS = 29
_WHOLE, _LAST = 0, 3
_TFRECORD_HEADER = 12
_MOST_BYTES = 1 << 30
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"


def is_framed(data: bytes) -> bool:
    """Tell whether bytes begin as a TFRecord or RecordIO stream does."""
    return data.startswith(_MAGIC) or _is_tfrecord(data[:_TFRECORD_HEADER])


def read_payloads(file: BinaryIO) -> Iterator[bytes]:
    """Give what each record of a TFRecord or RecordIO stream holds.

    Raises:
        DataError: the stream is of neither kind, or ends within a record.
    """
    stream = _Stream(file)
    head = stream.peek(_TFRECORD_HEADER)
    if not head:
        return
    if head.startswith(_MAGIC):
        yield from _recordio(stream)
    elif _is_tfrecord(head):
        yield from _tfrecord(stream)
    else:
        raise DataError(
            f"The first bytes {head[:8]!r} are neither those of TFRecord nor of RecordIO. "
            f"Usual cause: {_cause(head)}"
        )


def tfrecord(data: bytes) -> bytes:
    """Frame data as one TFRecord."""
    length = struct.pack("<Q", len(data))
    return length + _masked_crc(length) + data + _masked_crc(data)


def _cause(head: bytes) -> str:
    if head.startswith(_GZIP):
        return "gzip-compressed objects; give the channel CompressionType=Gzip (Pipe mode)."
    if head.startswith(_ZIP):
        return "a zip, which cannot be read as a stream; use input mode FastFile or File for it."
    return (
        "objects of another kind below the S3 prefix, or images without a wrapper; write records "
        "by `brain-tumor records`, or use an augmented manifest with RecordWrapperType=RecordIO."
    )


class _Stream:
    """A stream of which the next bytes can be seen before they are taken."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._seen = b""

    def peek(self, count: int) -> bytes:
        """Show the next bytes; fewer than `count` where the stream ends."""
        # One read of a pipe gives what is there, which may be less than is asked for.
        while len(self._seen) < count and (more := self._file.read(count - len(self._seen))):
            self._seen += more
        return self._seen[:count]

    def take(self, count: int) -> bytes:
        """Take the next bytes."""
        taken = self.peek(count)
        self._seen = self._seen[count:]
        if len(taken) < count:
            raise DataError(
                f"The stream ends within a record: {count} bytes were announced, {len(taken)} "
                "came. Usual cause: an interrupted upload, or a transfer that failed."
            )
        return taken


def _tfrecord(stream: _Stream) -> Iterator[bytes]:
    while header := stream.peek(_TFRECORD_HEADER):
        # The CRC of the length keeps the place in the stream. That of the data is not looked at:
        # what is damaged there shows when the image is decoded.
        if not _is_tfrecord(header):
            raise DataError(
                f"A TFRecord header was wanted where {header!r} stands. Usual cause: a damaged "
                "or interrupted file, or files of other kinds below the same S3 prefix."
            )
        stream.take(_TFRECORD_HEADER)
        (length,) = struct.unpack("<Q", header[:8])
        yield _sized(stream, length)
        stream.take(4)


def _recordio(stream: _Stream) -> Iterator[bytes]:
    parts: list[bytes] = []
    while stream.peek(1):
        magic, size = stream.take(4), struct.unpack("<I", stream.take(4))[0]
        continuation, length = size >> _LENGTH_BITS, size & (1 << _LENGTH_BITS) - 1
        if magic != _MAGIC:
            raise DataError(
                f"RecordIO's magic number was wanted where {magic!r} stands. Usual cause: a "
                "damaged or interrupted file, or files of other kinds below the same S3 prefix."
            )
        parts.append(_sized(stream, length))
        stream.take(-length % 4)
        if continuation in (_WHOLE, _LAST):
            yield _MAGIC.join(parts)
            parts = []


def _sized(stream: _Stream, length: int) -> bytes:
    if length > _MOST_BYTES:
        raise DataError(f"A record of {length} bytes is refused; at most {_MOST_BYTES} are read.")
    return stream.take(length)


def _is_tfrecord(header: bytes) -> bool:
    return len(header) == _TFRECORD_HEADER and _masked_crc(header[:8]) == header[8:]


def _masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _crc_table() -> list[int]:
    """Make the table of CRC-32C (Castagnoli), whose reflected polynomial is 0x82F63B78."""
    table = list(range(256))
    for _ in range(8):
        table = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in table]
    return table


_CRC_TABLE = _crc_table()
