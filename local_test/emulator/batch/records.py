"""Splitting an object into records, and filling requests with them.

A record that is alone in its request comes without what frames it: a line without its newline, a
binary payload without its header and padding. Where several go together, all bytes stay.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from local_test.emulator.errors import EmulatorError
from local_test.emulator.recordio import MAGIC

SplitType = Literal["None", "Line", "RecordIO", "TFRecord"]
Strategy = Literal["MultiRecord", "SingleRecord"]

_TFRECORD_HEADER = 12
_TFRECORD_FOOTER = 4


@dataclass(frozen=True)
class Record:
    """One record: its bytes in the object, and what is left without the frame."""

    framed: bytes
    payload: bytes


def split(content: bytes, split_type: SplitType) -> Iterator[Record]:
    """Give the records of an object.

    Raises:
        EmulatorError: It is not made of such records.
    """
    return _SPLITTERS[split_type](content)


def _whole(content: bytes) -> Iterator[Record]:
    yield Record(content, content)


def _lines(content: bytes) -> Iterator[Record]:
    for line in content.splitlines(keepends=True):
        yield Record(line, line.rstrip(b"\r\n"))


def _recordio(content: bytes) -> Iterator[Record]:
    start, position, parts = 0, 0, list[bytes]()
    while position < len(content):
        head = content[position : position + 8]
        if len(head) < 8 or not head.startswith(MAGIC):
            raise EmulatorError(f"There is no RecordIO record at byte {position}.")
        (word,) = struct.unpack("<I", head[4:])
        flag, length = word >> 29, word & ((1 << 29) - 1)
        parts.append(_exactly(content, position + 8, length))
        position += 8 + length + -length % 4
        # 0: a whole record; 1, 2, 3: first, middle, last part of one that holds the magic number.
        if flag in (0, 3):
            yield Record(content[start:position], MAGIC.join(parts))
            start, parts = position, []
    if parts:
        raise EmulatorError("The last RecordIO record is not complete.")


def _tfrecord(content: bytes) -> Iterator[Record]:
    position = 0
    while position < len(content):
        (length,) = struct.unpack("<Q", _exactly(content, position, 8))
        size = _TFRECORD_HEADER + length + _TFRECORD_FOOTER
        framed = _exactly(content, position, size)
        yield Record(framed, framed[_TFRECORD_HEADER:-_TFRECORD_FOOTER])
        position += size


def _exactly(content: bytes, start: int, length: int) -> bytes:
    part = content[start : start + length]
    if len(part) < length:
        raise EmulatorError(f"The record at byte {start} is not complete: wanted {length} bytes.")
    return part


_SPLITTERS: dict[SplitType, Callable[[bytes], Iterator[Record]]] = {
    "None": _whole,
    "Line": _lines,
    "RecordIO": _recordio,
    "TFRecord": _tfrecord,
}


def requests(records: Iterable[Record], strategy: Strategy, most: int | None) -> Iterator[bytes]:
    """Give the bodies of the requests: as many records in each as fit, or one.

    Args:
        records: An object's records.
        strategy: BatchStrategy.
        most: Bytes of a request at most; None for any number.

    Raises:
        EmulatorError: A record is larger than a request may be.
    """
    waiting, size = list[bytes](), 0
    for number, record in enumerate(records, 1):
        body = record.payload if strategy == "SingleRecord" else record.framed
        if most is not None and len(body) > most:
            raise EmulatorError(
                f"Record {number} has {len(body)} bytes, MaxPayloadInMB allows {most}: raise it, "
                "or split the object (SplitType)."
            )
        if strategy == "SingleRecord":
            yield body
            continue
        if waiting and most is not None and size + len(body) > most:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(body)
        size += len(body)
    if waiting:
        yield b"".join(waiting)
