"""data.framing: TFRecord and RecordIO streams, compared with TensorFlow's own."""

import io
import struct
from pathlib import Path

import pytest
import tensorflow as tf

from brain_tumor.data.framing import is_framed, read_payloads, tfrecord
from brain_tumor.errors import DataError
from tests.recordio import MAGIC, recordio

PAYLOADS = [b"one", b"", b"\x00" * 1000, bytes(range(256)) * 30]


def _read(data: bytes) -> list[bytes]:
    return list(read_payloads(io.BytesIO(data)))


def test_what_is_framed_here_is_read_by_tensorflow_which_checks_every_crc(tmp_path: Path) -> None:
    file = tmp_path / "x.tfrecord"
    file.write_bytes(b"".join(map(tfrecord, PAYLOADS)))
    assert [item.numpy() for item in tf.data.TFRecordDataset(str(file))] == PAYLOADS


def test_what_tensorflow_writes_is_read(tmp_path: Path) -> None:
    file = tmp_path / "x.tfrecord"
    with tf.io.TFRecordWriter(str(file)) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert _read(file.read_bytes()) == PAYLOADS


def test_recordio_is_read_also_where_the_data_hold_its_magic_number() -> None:
    split = [b"abcd" + MAGIC + b"efgh", MAGIC, MAGIC + MAGIC + b"x"]
    assert _read(b"".join(map(recordio, PAYLOADS + split))) == PAYLOADS + split


@pytest.mark.parametrize("frame", [tfrecord, recordio])
def test_a_stream_that_trickles_in_is_read_like_one_that_is_there(frame: object) -> None:
    assert callable(frame)

    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 3))

    data = b"".join(map(frame, PAYLOADS))
    assert list(read_payloads(Trickle(data))) == PAYLOADS


def test_an_empty_stream_has_no_records() -> None:
    assert _read(b"") == []


@pytest.mark.parametrize("frame", [tfrecord, recordio])
@pytest.mark.parametrize("kept", [5, 13, -1, -60])
def test_a_stream_that_ends_within_a_record_says_so(frame: object, kept: int) -> None:
    assert callable(frame)
    data = frame(b"first") + frame(b"s" * 101)
    with pytest.raises(DataError, match=r"ends within a record|first bytes|header was wanted"):
        _read(data[:kept])


def test_what_stands_between_records_is_named() -> None:
    with pytest.raises(DataError, match=r"TFRecord header was wanted where b'<html>"):
        _read(tfrecord(b"first") + b"<html> not found </html>")
    with pytest.raises(DataError, match=r"magic number was wanted where b'<htm"):
        _read(recordio(b"first") + b"<html> not found </html>")


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"\x1f\x8b\x08" + bytes(30), "CompressionType=Gzip"),
        (b"PK\x03\x04" + bytes(30), "FastFile or File"),
        (b"\xff\xd8\xff" + bytes(30), "images without a wrapper"),
        (b"x", "another kind"),
    ],
)
def test_a_stream_of_another_kind_is_named_with_its_cause(data: bytes, cause: str) -> None:
    with pytest.raises(DataError, match=cause):
        _read(data)


def test_a_record_too_large_for_the_memory_is_refused_before_it_is_read() -> None:
    length = struct.pack("<Q", 1 << 40)
    header = length + tfrecord(length)[20:24]
    with pytest.raises(DataError, match="1099511627776 bytes is refused"):
        _read(header)


def test_the_beginning_of_a_stream_is_told_from_that_of_an_image() -> None:
    assert is_framed(tfrecord(b"x"))
    assert is_framed(recordio(b"x"))
    assert not is_framed(b"\xff\xd8\xff\xe0" + bytes(20))
    assert not is_framed(b"")
