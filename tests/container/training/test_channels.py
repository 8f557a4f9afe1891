"""training.channels: which scans are trained on, validated on and tested on."""

import io
import logging
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor import images
from brain_tumor.data.archive import Archive
from brain_tumor.data.records import write_records
from brain_tumor.errors import DataError
from brain_tumor.training.channels import Channels, read_channels
from brain_tumor.training.cluster import Cluster
from brain_tumor.training.evaluation import overlap
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.input_data import ChannelConfig
from tests.hosts import meet
from tests.scans import encode, png, write_folder, write_zip

PARAMETERS = Hyperparameters(image_size=32, validation_share=0.25)


def _scans(count: int, first: int, labels: str = "ab") -> dict[str, bytes]:
    return {
        f"{label}/{number}.png": png(first + 100 * place + number, 24)
        for place, label in enumerate(labels)
        for number in range(count)
    }


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """Give a training channel of eight scans a class."""
    return write_folder(tmp_path / "train", _scans(8, 0))


@pytest.mark.parametrize("names", [("train", "val"), ("training", "validation")])
def test_channels_are_known_by_both_names_and_read_at_the_networks_size(
    names: tuple[str, str], train: Path, tmp_path: Path
) -> None:
    val = write_zip(tmp_path / "val" / "Val.zip", _scans(3, 1000)).parent
    test = write_folder(tmp_path / "test", _scans(2, 2000))
    folders = {names[0]: train, names[1]: val, "test": test, "code": tmp_path / "no data"}
    channels = read_channels(folders, PARAMETERS)
    assert channels.class_names == ["a", "b"]
    assert channels.counts() == {"train": 16, "val": 6, "test": 4}
    wanted = images.resize(images.decode((train / "a" / "0.png").read_bytes()), 32)
    np.testing.assert_array_equal(channels.train.pixels[0], wanted)
    assert channels.report.files == 26


def test_without_val_whole_pictures_are_split_off_train(tmp_path: Path) -> None:
    members = _scans(8, 0)
    members |= {file.replace(".png", "-copy.png"): data for file, data in members.items()}
    folders = {"train": write_zip(tmp_path / "Train.zip", members).parent}
    channels = read_channels(folders, PARAMETERS)
    assert channels.counts() == {"train": 24, "val": 8, "test": 0}
    assert channels.test is None
    assert not set(channels.train.digests) & set(channels.val.digests)
    assert len(channels.val.pixels) == 8
    splits = channels.report.splits
    assert sorted(splits["train"] + splits["val"]) == sorted(f"train/{file}" for file in members)


def test_the_split_follows_the_seed(train: Path) -> None:
    first, same, other = (
        read_channels({"train": train}, PARAMETERS.model_copy(update={"seed": seed})).val.files
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_the_report_names_files_with_their_channel(train: Path, tmp_path: Path) -> None:
    val = write_folder(tmp_path / "val", {**_scans(2, 1000), "a/bad.png": b"no image"})
    (val / "a" / "copy.png").write_bytes((train / "a" / "0.png").read_bytes())
    report = read_channels({"train": train, "val": val}, PARAMETERS).report
    assert [entry.file for entry in report.damaged] == ["val/a/bad.png"]
    assert report.duplicate_groups == [["train/a/0.png", "val/a/copy.png"]]
    assert set(report.splits) == {"train", "val"}
    assert "val/a/0.png" in report.splits["val"]
    assert report.files == 16 + 4 + 2


def test_damaged_files_are_left_out_and_logged_with_their_reason(
    train: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (train / "a" / "3.png").write_bytes(b"no image")
    caplog.set_level(logging.INFO)
    channels = read_channels({"train": train}, PARAMETERS)
    assert channels.counts()["train"] + channels.counts()["val"] == 15
    assert "left out a/3.png: The first bytes" in caplog.text


def test_the_fingerprint_is_that_of_the_pixels_not_of_names_or_formats(
    train: Path, tmp_path: Path
) -> None:
    val = write_folder(tmp_path / "val", _scans(2, 1000))
    renamed = {f"{file[0]}/z{9 - int(file[2])}.png": data for file, data in _scans(8, 0).items()}
    same = write_zip(tmp_path / "other" / "x.zip", renamed).parent
    changed = write_folder(tmp_path / "changed", {**_scans(8, 0), "a/0.png": png(999, 24)})
    first, second, third = (
        read_channels({"train": folder, "val": val}, PARAMETERS).fingerprint()
        for folder in (train, same, changed)
    )
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    ("given", "found"), [({}, "no channel at all"), ({"trian": "x", "val": "y"}, "trian, val")]
)
def test_a_missing_train_channel_is_named_with_what_was_found(
    given: dict[str, str], found: str
) -> None:
    with pytest.raises(DataError, match=f"channel named train, found {found}"):
        read_channels({name: Path(path) for name, path in given.items()}, PARAMETERS)


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    train = write_folder(tmp_path / "train", _scans(4, 0, "a"))
    with pytest.raises(DataError, match="train holds one class only, 'a'"):
        read_channels({"train": train}, PARAMETERS)


@pytest.mark.parametrize("side", ["val", "test"])
def test_a_class_that_train_has_not_is_named_with_its_channel(
    side: str, train: Path, tmp_path: Path
) -> None:
    other = write_folder(tmp_path / "other", _scans(2, 1000, "abz"))
    with pytest.raises(DataError, match=f"Channel {side} holds classes that train has not: z"):
        read_channels({"train": train, side: other}, PARAMETERS)


def test_a_test_channel_may_lack_a_class(train: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", _scans(2, 1000, "b"))
    channels = read_channels({"train": train, "test": other}, PARAMETERS)
    assert channels.class_names == ["a", "b"]
    assert channels.counts()["test"] == 2


def test_a_channel_that_cannot_be_read_is_named(train: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"Channel val: .*empty holds no scans"):
        read_channels({"train": train, "val": empty}, PARAMETERS)
    with pytest.raises(DataError, match=r"Channel train: .*missing does not exist"):
        read_channels({"train": tmp_path / "missing"}, PARAMETERS)


def test_a_val_or_test_channel_that_is_named_but_not_there_is_taken_for_not_given(
    train: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    channels = read_channels({"train": train, "val": missing, "test": missing}, PARAMETERS)
    assert len(channels.val) > 0
    assert channels.test is None


def _mirrored(path: Path) -> bytes:
    return encode(images.decode(path.read_bytes())[:, ::-1], "PNG")


def test_a_mirrored_copy_of_a_training_scan_is_left_out_of_val_and_marked_in_test(
    train: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    val = write_folder(tmp_path / "val", _scans(3, 1000))
    test = write_folder(tmp_path / "test", _scans(2, 2000))
    for folder in (val, test):
        (folder / "a" / "copy.png").write_bytes(_mirrored(train / "a" / "0.png"))
    channels = read_channels({"train": train, "val": val, "test": test}, PARAMETERS)
    assert "a/copy.png" not in channels.val.files
    assert "LEAK: 1 of the 7 val scans also stand in train" in caplog.text
    assert "LEAK: 1 of the 5 test files" in caplog.text
    assert channels.test is not None
    for marked in overlap(channels.test, [channels.train, channels.val]):
        assert [channels.test.files[row] for row in np.flatnonzero(marked)] == ["a/copy.png"]
    (leak,) = channels.report.leaks
    assert (leak.file, leak.matches) == ("test/a/copy.png", ["train/a/0.png"])
    assert leak.pose == "mirror"
    shortcuts = channels.report.shortcuts
    assert shortcuts.nearest_neighbour is not None
    assert (shortcuts.nearest_neighbour.test_files, shortcuts.nearest_neighbour.removed) == (5, 1)


def test_a_val_channel_keeps_its_leak_where_a_class_would_be_missing_without(
    train: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = {"a/copy.png": (train / "a" / "0.png").read_bytes(), "b/1.png": png(1000)}
    val = write_folder(tmp_path / "val", members)
    channels = read_channels({"train": train, "val": val}, PARAMETERS)
    assert channels.val.files == ["a/copy.png", "b/1.png"]
    assert "chosen by memory" in caplog.text


def test_a_picture_with_two_labels_is_left_out_of_every_side(
    train: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    test = write_folder(tmp_path / "test", _scans(2, 2000))
    (test / "b" / "other.png").write_bytes(_mirrored(train / "a" / "0.png"))
    channels = read_channels({"train": train, "test": test}, PARAMETERS)
    assert channels.test is not None
    assert "b/other.png" not in channels.test.files
    assert "a/0.png" not in channels.train.files + channels.val.files
    assert "Channel test: left out 1 scans" in caplog.text
    assert channels.report.conflicts[0].files == ["train/a/0.png", "test/b/other.png"]


def test_a_class_all_of_whose_pictures_conflict_is_named(train: Path) -> None:
    for file in sorted((train / "a").iterdir()):
        (train / "b" / f"copy-{file.name}").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="Every picture of class a in channel train"):
        read_channels({"train": train}, PARAMETERS)


def test_a_channel_is_read_as_its_entry_says_and_errors_name_it(
    train: Path, tmp_path: Path
) -> None:
    with Archive(train) as archive:
        write_records(archive, tmp_path / "records", 2)
    records = ChannelConfig(mode="FastFile", content_type="application/x-tfrecord")
    first = read_channels({"train": train}, PARAMETERS)
    second = read_channels({"train": tmp_path / "records"}, PARAMETERS, {"train": records})
    assert first.train.files == second.train.files
    assert first.val.files == second.val.files
    assert first.fingerprint() == second.fingerprint()
    wrong = ChannelConfig(content_type="text/csv")
    with pytest.raises(DataError, match="Channel val: ContentType 'text/csv'"):
        read_channels({"train": train, "validation": train}, PARAMETERS, {"validation": wrong})


def test_an_efs_or_fsx_folder_with_links_and_what_file_systems_put_there_is_read_like_any_other(
    train: Path, tmp_path: Path
) -> None:
    mount = write_folder(
        tmp_path / "efs",
        {"lost+found/": b"", ".snapshot/hourly/a/0.png": png(1), ".nfs0001": b"", "aws.txt": b""},
    )
    for label in "ab":
        (mount / label).symlink_to(train / label)
    (mount / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    channels = read_channels({"train": mount}, PARAMETERS)
    assert channels.class_names == ["a", "b"]
    assert channels.fingerprint() == read_channels({"train": train}, PARAMETERS).fingerprint()
    assert [entry.file for entry in channels.report.damaged] == ["train/a/gone.png"]


Files = Mapping[str, bytes]


def _on_hosts(
    folders: Sequence[Mapping[str, Path]], configs: Mapping[str, ChannelConfig] | None = None
) -> list[Any]:
    """Read channels on hosts that met, each with its folders; give what each got, or its error."""

    def read(cluster: Cluster) -> Channels:
        own = folders[cluster.hosts.index]
        return read_channels(own, PARAMETERS, configs or {}, cluster=cluster)

    return meet(tuple(f"algo-{n}" for n in range(1, len(folders) + 1)), read)


def _dealt(path: Path, shards: Sequence[Files]) -> list[dict[str, Path]]:
    return [
        {"train": write_folder(path / f"host-{number}" / "train", shard)}
        for number, shard in enumerate(shards)
    ]


def _zipped(members: Files) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _patients(label: str, first: int) -> dict[str, bytes]:
    return {f"{label}/p{first + n % 2}/{n}.png": png(10 * first + n) for n in range(6)}


SHARDS: dict[str, tuple[Files, Files]] = {
    "a class with a folder for each patient": (_patients("a", 10), _patients("b", 20)),
    "an enclosing folder, and one patient": (
        {"scans/a/p1/1.png": png(1)},
        {f"scans/{name}": data for name, data in _scans(6, 100).items()},
    ),
    "a side folder on one host only": (
        {"a/p1/1.png": png(1)},
        {f"Training/{name}": data for name, data in _scans(6, 100).items()},
    ),
    "nothing but a text": ({"README.md": b"no scan"}, _scans(6, 0)),
    "nothing but a stray picture": ({"stray.png": png(1)}, _scans(6, 100)),
    "all that is damaged": ({"a/bad.png": b"no image"}, _scans(6, 0)),
    "an empty folder of a class": ({**_scans(6, 0, "a"), "b/": b""}, _patients("b", 20)),
    "zips with the same names in them": (
        {"part-1.zip": _zipped(_scans(6, 0))},
        {"part-2.zip": _zipped(_scans(6, 300))},
    ),
    "the same zips dealt otherwise": (
        {"part-2.zip": _zipped(_scans(6, 300))},
        {"part-1.zip": _zipped(_scans(6, 0))},
    ),
    "a zip on one, files on the other": ({"more.zip": _zipped(_scans(6, 300))}, _scans(6, 0)),
    "the only zip": ({"Train.zip": _zipped(_scans(6, 0))}, {"a/": b""}),
}


@pytest.mark.parametrize("shards", SHARDS.values(), ids=SHARDS)
def test_hosts_get_from_shards_what_one_host_reads_that_has_all(
    shards: Sequence[Files], tmp_path: Path
) -> None:
    whole = write_folder(tmp_path / "whole", {**shards[0], **shards[1]})
    wanted = read_channels({"train": whole}, PARAMETERS)
    for got in _on_hosts(_dealt(tmp_path, shards)):
        assert got.class_names == wanted.class_names == ["a", "b"]
        assert (got.train.files, got.val.files) == (wanted.train.files, wanted.val.files)
        assert (got.train.labels, got.val.labels) == (wanted.train.labels, wanted.val.labels)
        assert got.report.damaged == wanted.report.damaged
        assert got.fingerprint() == wanted.fingerprint()


def test_a_host_whose_pipe_carries_no_record_gets_those_of_the_others(
    train: Path, tmp_path: Path
) -> None:
    with Archive(train) as archive:
        write_records(archive, tmp_path / "records", 1)
    (records,) = (tmp_path / "records").iterdir()
    hosts = [{"train": tmp_path / host / "train"} for host in ("1", "2")]
    with ThreadPoolExecutor(2) as writers:
        for host, data in zip(hosts, (b"", records.read_bytes()), strict=True):
            pipe = host["train"].with_name("train_0")
            pipe.parent.mkdir()
            os.mkfifo(pipe)
            writers.submit(pipe.write_bytes, data)
        got = _on_hosts(hosts, {"train": ChannelConfig(mode="Pipe")})
    for channels in got:
        assert channels.counts() == {"train": 12, "val": 4, "test": 0}
        assert channels.class_names == ["a", "b"]


@pytest.mark.parametrize(
    ("shards", "cause"),
    [
        (
            ({**_scans(2, 0), "c/1.png": b"junk"}, {"c/2.png": b"", "a/9.png": png(9)}),
            r"Channel train: .* has no readable scan of class 'c'. The first of them, c/1.png",
        ),
        (({"c/": b""}, _scans(2, 0)), r"Channel train: .* has an empty class folder: c\."),
        (({"1.png": b""}, {"README": b""}), r"Channel train: .* holds no scans: 1 image files"),
    ],
)
def test_what_is_wrong_with_all_shards_together_is_said_alike_by_every_host(
    shards: Sequence[Files], cause: str, tmp_path: Path
) -> None:
    said = [str(error).partition(": ")[2] for error in _on_hosts(_dealt(tmp_path, shards))]
    assert said[0] == said[1]
    assert re.match(cause, said[0])


def test_a_val_channel_without_a_scan_on_any_host_is_an_error_on_all(
    train: Path, tmp_path: Path
) -> None:
    empty = write_folder(tmp_path / "val", {})
    for error in _on_hosts([{"train": train}, {"train": train, "val": empty}]):
        assert re.match(r"Host algo-\d: Channel val: .*val holds no scans", str(error))
