"""Records of an image and its label: the form in which scans can be streamed, read or written.

A record is one of
- tf.train.Example: the image in `image/encoded` or `image`, the label as text in `image/class/text`
  or `label`, or as a number in `image/class/label` or `label`; `image/filename` where there is one.
- MXNet's image record (im2rec): a header with the label as a number, then the image.
- an image, whose label is the record after it: an augmented manifest, which SageMaker streams so.
- a whole file of the above, as SageMaker wraps objects with RecordWrapperType=RecordIO.
A number is the name of its class as it is written: nothing in the data says what it stands for.
"""

import io
import itertools
import json
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from google.protobuf.message import DecodeError

from brain_tumor.data.archive import Archive, Scan
from brain_tumor.data.framing import is_framed, read_payloads, tfrecord
from brain_tumor.errors import DataError
from brain_tumor.protobuf_parts import BYTES, INT64, MANY, ONE, STRING, message_class

_IMAGE, _TEXT, _FILENAME = "image/encoded", "image/class/text", "image/filename"
_IMAGES = (_IMAGE, "image")
_LABELS = (_TEXT, "label", "image/class/label")
_FILENAMES = (_FILENAME, "filename")
_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"GIF8", b"RIFF", b"II*\0", b"MM\0*")
# Field 1 of a message, with which every Example begins that holds anything.
_EXAMPLE_TAG = b"\x0a"
# uint32 number of labels where there are several, float32 label, uint64 id, uint64 id2.
_IM2REC = struct.Struct("<IfQQ")


class Sample(NamedTuple):
    """An encoded image and its label."""

    image: bytes
    label: str
    name: str
    """File name of the image; empty where none is given."""


class Records:
    """Records in streams, as a source of scans that can be read once."""

    def __init__(self, path: Path, streams: Iterable[Callable[[], BinaryIO]]) -> None:
        """Take functions that open the streams, one after the other; `path` is for messages."""
        self.path = path
        self.scans: list[Scan] = []
        self.outside_class_folders: list[str] = []
        self.empty_class_folders: list[str] = []
        self._streams = streams

    def stream(self) -> Iterator[tuple[Scan, bytes]]:
        """Give every scan once, in the order of the records.

        A scan is named after its class and file; after its number where that is taken or missing.

        Raises:
            DataError: what is none of the forms above.
        """
        taken: set[str] = set()
        for number, sample in enumerate(self._samples(), 1):
            file = f"{sample.label}/{sample.name or f'{number:07}'}"
            if file in taken:
                file = f"{sample.label}/{number:07}-{sample.name}"
            taken.add(file)
            self.scans.append(Scan(file, sample.label, None))
            yield self.scans[-1], sample.image

    @property
    def nothing(self) -> str:
        """The sentence for streams without records."""
        return f"{self.path} holds no records. Usual cause: an S3 prefix without objects."

    def _samples(self) -> Iterator[Sample]:
        try:
            for open_stream in self._streams:
                with closing(open_stream()) as file:
                    yield from read_samples(file)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}.") from error


def read_samples(file: BinaryIO) -> Iterator[Sample]:
    """Give the images and labels of a TFRecord or RecordIO stream.

    Raises:
        DataError: the stream is damaged, or a record has no image or no label.
    """
    payloads = read_payloads(file)
    for number in itertools.count(1):
        payload = next(payloads, None)
        if payload is None:
            return
        try:
            if is_framed(payload):
                yield from read_samples(io.BytesIO(payload))
            elif _is_image(payload):
                yield Sample(payload, _text(_label_after_image(payloads)), "")
            elif payload.startswith(_EXAMPLE_TAG):
                yield _example(payload)
            else:
                yield _image_record(payload)
        except DataError as error:
            raise DataError(f"Record {number}: {error}") from error


def write_records(archive: Archive, out_dir: Path, files: int) -> dict[str, int]:
    """Write the scans of an archive as TFRecord files, as they are encoded.

    Each side that the archive names has a folder of its own. A file holds every n-th of its scans,
    so that all hosts have all classes where files are dealt out (ShardedByS3Key).

    Args:
        archive: an open archive.
        out_dir: receives the files.
        files: how many for each side.

    Returns:
        The number of scans of each folder.

    Raises:
        DataError: a scan cannot be read.
    """
    written = {}
    for side in sorted({scan.side or "" for scan in archive.scans}):
        scans = [scan for scan in archive.scans if (scan.side or "") == side]
        folder = out_dir / side
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("part-*-of-*.tfrecord"):
            stale.unlink()
        for number in range(files):
            path = folder / f"part-{number:05}-of-{files:05}.tfrecord"
            with path.open("wb") as file:
                for scan in scans[number::files]:
                    file.write(tfrecord(_encode(scan, archive.read(scan))))
        written[str(folder)] = len(scans)
    return written


def _is_image(data: bytes) -> bool:
    return data.startswith(_FIRST_BYTES)


def _label_after_image(payloads: Iterator[bytes]) -> bytes:
    label = next(payloads, b"")
    if not label or _is_image(label):
        raise DataError(
            "an image without a label after it. Usual cause: images streamed from an S3 prefix, "
            "whose names, and so whose classes, are not streamed; use an augmented manifest with "
            "AttributeNames of the image and its label, TFRecord, or input mode FastFile."
        )
    return label


def _text(label: bytes) -> str:
    text = label.decode("utf-8", "backslashreplace").strip()
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict | list | float | bool) or value in ("", None):
        raise DataError(
            f"the label {text[:80]!r} is neither a name nor a whole number. Usual cause: another "
            "attribute of the augmented manifest than the label."
        )
    return str(value).replace("/", "-")


def _image_record(payload: bytes) -> Sample:
    if len(payload) <= _IM2REC.size:
        raise DataError(_unknown(payload))
    more, label, _, _ = _IM2REC.unpack_from(payload)
    image = payload[_IM2REC.size + 4 * more :]
    if more > 1 or not _is_image(image):
        raise DataError(_unknown(payload))
    if more:
        (label,) = struct.unpack_from("<f", payload, _IM2REC.size)
    if not label.is_integer():
        raise DataError(f"the label {label} is no whole number; wanted the number of a class.")
    return Sample(image, str(int(label)), "")


def _unknown(payload: bytes) -> str:
    return (
        f"{payload[:8]!r}... begins neither a tf.train.Example nor an MXNet image record with one "
        "label nor an image. Usual cause: records of another kind, such as protobuf of numbers."
    )


@cache
def _example_class() -> Any:
    """Make the part of tensorflow/core/example/example.proto that is needed."""
    return message_class(
        "Example",
        {
            "BytesList": [("value", 1, BYTES, MANY)],
            "Int64List": [("value", 1, INT64, MANY)],
            "Feature": [("bytes_list", 1, "BytesList", ONE), ("int64_list", 3, "Int64List", ONE)],
            "Entry": [("key", 1, STRING, ONE), ("value", 2, "Feature", ONE)],
            "Features": [("feature", 1, "Entry", MANY)],
            "Example": [("features", 1, "Features", ONE)],
        },
    )


def _example(payload: bytes) -> Sample:
    try:
        features = _example_class().FromString(payload).features.feature
    except DecodeError as error:
        raise DataError(_unknown(payload)) from error
    values = {
        f.key: list(f.value.bytes_list.value) or list(f.value.int64_list.value) for f in features
    }
    image, label, name = (
        next((values[key][0] for key in keys if values.get(key)), None)
        for keys in (_IMAGES, _LABELS, _FILENAMES)
    )
    if not isinstance(image, bytes) or label is None:
        raise DataError(
            f"a tf.train.Example with the features {', '.join(sorted(values)) or 'none'}; wanted "
            f"the encoded image in {' or '.join(_IMAGES)} and the label in {', '.join(_LABELS)}."
        )
    label = _text(label) if isinstance(label, bytes) else str(label)
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else ""
    return Sample(image, label, PurePosixPath(text).name)


def _encode(scan: Scan, image: bytes) -> bytes:
    example = _example_class()()
    for key, value in (
        (_FILENAME, scan.file.encode()),
        (_IMAGE, image),
        (_TEXT, scan.label.encode()),
    ):
        entry = example.features.feature.add(key=key)
        entry.value.bytes_list.value.append(value)
    encoded: bytes = example.SerializeToString()
    return encoded
