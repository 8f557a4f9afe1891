"""RecordIO, byte by byte."""

import struct

from local_test.emulator.recordio import MAGIC, frame


def test_a_record_is_padded_to_four_bytes() -> None:
    assert frame(b"abcd") == MAGIC + struct.pack("<I", 4) + b"abcd"
    assert frame(b"abcde") == MAGIC + struct.pack("<I", 5) + b"abcde\0\0\0"


def test_a_payload_that_holds_the_magic_number_becomes_a_first_a_middle_and_a_last_part() -> None:
    def part(flag: int, payload: bytes) -> bytes:
        return MAGIC + struct.pack("<I", flag << 29 | len(payload)) + payload

    assert frame(b"abcd" + MAGIC + b"efgh" + MAGIC) == (
        part(1, b"abcd") + part(2, b"efgh") + part(3, b"")
    )
    # Elsewhere than at a multiple of four it is no magic number.
    assert frame(b"ab" + MAGIC + b"cd") == part(0, b"ab" + MAGIC + b"cd")
