"""data.records: scans and labels in TFRecord and RecordIO, read and written."""

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from brain_tumor.data.archive import Archive
from brain_tumor.data.framing import tfrecord
from brain_tumor.data.records import Records, Sample, read_samples, write_records
from brain_tumor.data.scans import decode_scans, require_every_class
from brain_tumor.errors import DataError
from tests.recordio import image_record, recordio
from tests.scans import encode, jpeg, png, write_folder, write_zip


def example(**features: bytes | int | float) -> bytes:
    """Serialise a tf.train.Example by TensorFlow; a double underscore stands for a slash."""
    made = tf.train.Example()
    for name, value in features.items():
        feature = made.features.feature[name.replace("__", "/")]
        if isinstance(value, bytes):
            feature.bytes_list.value.append(value)
        elif isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.float_list.value.append(value)
    data: bytes = made.SerializeToString()
    return data


def _read(data: bytes) -> list[Sample]:
    return list(read_samples(io.BytesIO(data)))


def _records(*streams: bytes) -> Records:
    return Records(Path("train_0"), [partial(io.BytesIO, data) for data in streams])


@pytest.mark.parametrize("frame", [tfrecord, recordio])
@pytest.mark.parametrize(
    ("features", "label", "name"),
    [
        ({"image__encoded": b"i", "image__class__text": b"glioma"}, "glioma", ""),
        (
            {"image": b"i", "label": b"glioma", "image__filename": b"Train/glioma/7.jpg"},
            "glioma",
            "7.jpg",
        ),
        ({"image": b"i", "label": 3}, "3", ""),
        (
            {
                "image__encoded": b"i",
                "image__class__text": b"notumor",
                "image__class__label": 2,
                "image__height": 224,
                "other": 1.5,
                "filename": b"a.png",
            },
            "notumor",
            "a.png",
        ),
    ],
)
def test_the_usual_features_of_an_example_are_known(
    frame: Callable[[bytes], bytes], features: dict[str, Any], label: str, name: str
) -> None:
    assert _read(frame(example(**features))) == [Sample(b"i", label, name)]


@pytest.mark.parametrize("several", [False, True])
def test_the_image_records_of_mxnets_im2rec_are_read_with_their_number_as_class(
    several: bool,
) -> None:
    data = [recordio(image_record(jpeg(n), n, several)) for n in range(3)]
    assert _read(b"".join(data)) == [Sample(jpeg(n), str(n), "") for n in range(3)]


@pytest.mark.parametrize("label", [b"glioma", b'"glioma"', b" glioma\n"])
def test_an_augmented_manifest_streams_an_image_and_then_its_label(label: bytes) -> None:
    data = [jpeg(1), label, png(2), b"7"]
    assert _read(b"".join(map(recordio, data))) == [
        Sample(jpeg(1), "glioma", ""),
        Sample(png(2), "7", ""),
    ]


def test_files_that_sagemaker_wraps_whole_are_read_record_by_record() -> None:
    shards = [
        b"".join(tfrecord(example(image=bytes([n]), label=b"a")) for n in range(k, k + 3))
        for k in (0, 3)
    ]
    assert [sample.image for sample in _read(b"".join(map(recordio, shards)))] == [
        bytes([n]) for n in range(6)
    ]
    wrapped = recordio(recordio(image_record(jpeg(1), 4)))
    assert _read(wrapped) == [Sample(jpeg(1), "4", "")]


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (lambda: example(image=b"i"), r"Record 2: .*the features image; wanted"),
        (lambda: example(label=b"a"), r"Record 2: .*the features label; wanted"),
        (lambda: example(image=b"i", label=0.5), "the label in"),
        (lambda: example(image=b"i", label=b"0.5"), "neither a name nor a whole number"),
        (lambda: b"\x0a\xff\xff\xff", "begins neither"),
        (lambda: b"short", "begins neither"),
        (lambda: b"x" * 100, "begins neither"),
        (lambda: image_record(b"no image", 1), "begins neither"),
        (lambda: image_record(png(1), 1.5), "1.5 is no whole number"),
        (lambda: png(1), "image without a label after it"),
    ],
)
def test_a_record_that_cannot_be_used_is_named_with_its_number(
    payload: Callable[[], bytes], cause: str
) -> None:
    first = recordio(image_record(png(0), 0))
    with pytest.raises(DataError, match=cause):
        _read(first + recordio(payload()))


def test_images_without_labels_say_that_names_are_not_streamed() -> None:
    with pytest.raises(DataError, match="whose classes, are not streamed"):
        _read(recordio(png(1)) + recordio(png(2)))


@pytest.mark.parametrize("label", [b"", b"null", b'{"class": 1}', b"[0]", b"true"])
def test_an_attribute_that_is_no_label_is_refused(label: bytes) -> None:
    with pytest.raises(DataError, match="Record 1: "):
        _read(recordio(png(1)) + recordio(label))


MEMBERS = {
    **{f"x/Training/glioma/{n}.jpg": jpeg(n) for n in range(5)},
    **{f"x/Training/notumor/{n}.png": png(100 + n) for n in range(6)},
    "x/Testing/glioma/1.jpg": jpeg(200),
    "x/Testing/notumor/1.jpg": jpeg(201),
}


def test_written_records_are_read_by_tensorflow_and_hold_the_files_bytes(tmp_path: Path) -> None:
    with Archive(write_zip(tmp_path / "scans.zip", MEMBERS)) as archive:
        written = write_records(archive, tmp_path / "out", 2)
    assert written == {str(tmp_path / "out/test"): 2, str(tmp_path / "out/train"): 11}
    found: dict[str, bytes] = {}
    for file in sorted((tmp_path / "out/train").iterdir()):
        for item in tf.data.TFRecordDataset(str(file)):
            features = tf.io.parse_single_example(
                item,
                {
                    name: tf.io.FixedLenFeature([], tf.string)
                    for name in ("image/encoded", "image/class/text", "image/filename")
                },
            )
            name = features["image/filename"].numpy().decode()
            assert features["image/class/text"].numpy().decode() == name.split("/")[-2]
            found[name] = features["image/encoded"].numpy()
    assert found == {name: data for name, data in MEMBERS.items() if "Training" in name}


def test_every_written_file_holds_every_class_and_older_files_do_not_stay(tmp_path: Path) -> None:
    with Archive(write_zip(tmp_path / "scans.zip", MEMBERS)) as archive:
        write_records(archive, tmp_path / "out", 4)
        write_records(archive, tmp_path / "out", 2)
    files = sorted((tmp_path / "out/train").iterdir())
    assert [file.name for file in files] == [
        "part-00000-of-00002.tfrecord",
        "part-00001-of-00002.tfrecord",
    ]
    for file in files:
        samples = _read(file.read_bytes())
        assert {sample.label for sample in samples} == {"glioma", "notumor"}


def _table_of(members: Mapping[str, bytes], folder: Path) -> Any:
    with Archive(write_folder(folder, members)) as archive:
        return decode_scans(archive, 32)


def test_a_table_of_records_is_that_of_the_folder_they_were_made_of(tmp_path: Path) -> None:
    members = {f"{'ab'[n % 2]}/{n:02}.png": png(n) for n in range(30)}
    wanted = _table_of(members, tmp_path / "d")
    with Archive(tmp_path / "d") as archive:
        write_records(archive, tmp_path / "out", 3)
    streams = [file.read_bytes() for file in sorted((tmp_path / "out").iterdir())]
    table = decode_scans(_records(*streams), 32)
    assert table.files == wanted.files
    assert table.labels == wanted.labels
    assert table.digests == wanted.digests
    np.testing.assert_array_equal(table.pixels[:], wanted.pixels[:])
    np.testing.assert_array_equal(table.thumbnails.head[:], wanted.thumbnails.head[:])


def test_more_records_than_there_is_room_for_at_first_keep_their_pixels() -> None:
    pixels = [np.full((8, 8), n % 251, np.uint8) for n in range(2500)]
    data = (
        example(image=encode(grey, "PNG"), label=b"ab"[n % 2 :][:1])
        for n, grey in enumerate(pixels)
    )
    table = decode_scans(_records(b"".join(map(tfrecord, data))), 8)
    numbers = [int(file.split("/")[1]) - 1 for file in table.files]
    assert sorted(numbers) == list(range(2500))
    np.testing.assert_array_equal(table.pixels[:], np.stack([pixels[n] for n in numbers]))


def test_records_are_named_after_class_and_file_or_number_and_no_name_is_given_twice() -> None:
    data = [
        example(image=png(1), label=b"a", filename=b"x/1.png"),
        example(image=png(2), label=b"b", filename=b"y/1.png"),
        example(image=png(3), label=b"a", filename=b"z/1.png"),
        example(image=png(4), label=b"b"),
    ]
    table = decode_scans(_records(b"".join(map(tfrecord, data))))
    assert table.files == ["a/0000003-1.png", "a/1.png", "b/0000004", "b/1.png"]


def test_a_damaged_image_in_a_record_is_left_out_and_a_class_of_none_but_those_is_named() -> None:
    good = [example(image=png(n), label=b"a") for n in range(3)]
    bad = example(image=png(9)[:60], label=b"a", filename=b"bad.png")
    source = _records(b"".join(map(tfrecord, [*good, bad])))
    table = decode_scans(source, 16)
    assert (len(table), [entry.file for entry in table.damaged]) == (3, ["a/bad.png"])
    require_every_class(source, table)
    source = _records(tfrecord(good[0]), tfrecord(example(image=b"\xff\xd8\xffx", label=b"b")))
    with pytest.raises(DataError, match="no readable scan of class 'b'"):
        require_every_class(source, decode_scans(source, 16))


def test_a_stream_without_records_is_named() -> None:
    source = _records(b"")
    with pytest.raises(DataError, match="train_0 holds no records"):
        require_every_class(source, decode_scans(source, 16))


def test_any_number_of_damaged_images_may_come_before_a_good_one() -> None:
    images = [*[b"junk"] * 5000, png(1)]
    data = (tfrecord(example(image=image, label=b"a")) for image in images)
    table = decode_scans(_records(b"".join(data)), 16)
    assert (table.files, len(table.damaged)) == (["a/0005001"], 5000)
    assert table.pixels.shape == (1, 16, 16)
