"""Splitting objects, and filling requests with their records."""

import struct

import pytest

from local_test.emulator.batch.records import Record, SplitType, requests, split
from local_test.emulator.errors import EmulatorError
from local_test.emulator.recordio import MAGIC, frame


def _tfrecord(payload: bytes) -> bytes:
    return struct.pack("<QI", len(payload), 0) + payload + struct.pack("<I", 0)


@pytest.mark.parametrize(
    ("split_type", "framed"),
    [
        ("Line", [b"a,1\n", b"b,2\r\n", b"c"]),
        ("RecordIO", [frame(b"a,1"), frame(b"b,2"), frame(b"c")]),
        ("TFRecord", [_tfrecord(b"a,1"), _tfrecord(b"b,2"), _tfrecord(b"c")]),
    ],
)
def test_an_object_is_split_into_records_with_and_without_their_frames(
    split_type: SplitType, framed: list[bytes]
) -> None:
    content = b"".join(framed)
    records = list(split(content, split_type))
    assert [record.framed for record in records] == framed
    assert [record.payload for record in records] == [b"a,1", b"b,2", b"c"]
    assert list(requests(records, "SingleRecord", None)) == [b"a,1", b"b,2", b"c"]
    assert list(requests(records, "MultiRecord", None)) == [content]


def test_a_record_that_holds_the_magic_number_is_put_together_again() -> None:
    payload = b"four" + MAGIC + b"more" + MAGIC
    content = frame(b"first") + frame(payload)
    assert [record.payload for record in split(content, "RecordIO")] == [b"first", payload]


def test_an_object_that_is_not_split_is_one_request_whatever_it_holds() -> None:
    assert list(requests(split(b"a\nb\n", "None"), "MultiRecord", 100)) == [b"a\nb\n"]
    assert list(requests(split(b"", "None"), "MultiRecord", 100)) == [b""]


def test_a_request_has_as_many_records_as_fit() -> None:
    records = split(b"aa\nbb\ncccc\ndd\n", "Line")
    assert list(requests(records, "MultiRecord", 6)) == [b"aa\nbb\n", b"cccc\n", b"dd\n"]


def test_a_record_larger_than_a_request_is_an_error_with_its_number() -> None:
    with pytest.raises(EmulatorError, match=r"Record 2 has 5 bytes, MaxPayloadInMB allows 4"):
        list(requests([Record(b"a", b"a"), Record(b"bbbbb", b"bbbbb")], "MultiRecord", 4))


@pytest.mark.parametrize(
    ("split_type", "content"),
    [
        ("RecordIO", b"no record"),
        ("RecordIO", frame(b"payload")[:10]),
        ("RecordIO", MAGIC + struct.pack("<I", 1 << 29)),
        ("TFRecord", _tfrecord(b"payload")[:-1]),
        ("TFRecord", b"abc"),
    ],
)
def test_what_is_no_record_is_an_error(split_type: SplitType, content: bytes) -> None:
    with pytest.raises(EmulatorError, match=r"no RecordIO record|not complete"):
        list(split(content, split_type))
