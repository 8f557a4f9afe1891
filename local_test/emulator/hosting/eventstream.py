"""Amazon's event stream encoding, as boto3 parses the answer of a streaming endpoint.

A message: total length, headers' length, CRC of these; headers; payload; CRC of all. A header: its
name with its length in a byte, 7 for a string, the string with its length in two bytes.
"""

import json
import struct
import zlib
from collections.abc import Mapping

from local_test.emulator.hosting.api_errors import ApiError


def part(payload: bytes) -> bytes:
    """Return a part of the body as an event."""
    headers = {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
    return _message(headers, payload)


def failure(error: ApiError) -> bytes:
    """Return what ends a stream that broke off."""
    headers = {
        ":message-type": "exception",
        ":exception-type": error.code,
        ":content-type": "application/json",
    }
    return _message(headers, json.dumps(error.fields).encode())


def _message(headers: Mapping[str, str], payload: bytes) -> bytes:
    packed = b"".join(
        struct.pack(">B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(value))
        + value.encode()
        for name, value in headers.items()
    )  # fmt: skip
    prelude = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + packed + payload
    return message + struct.pack(">I", zlib.crc32(message))
