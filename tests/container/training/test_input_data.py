"""training.input_data: what inputdataconfig.json says of the channels."""

import json
from pathlib import Path
from typing import Any

import pytest

from brain_tumor.data.archive import Archive
from brain_tumor.data.records import Records, write_records
from brain_tumor.errors import DataError
from brain_tumor.training.input_data import ChannelConfig, open_channel, read_input_data_config
from tests.jobs import ROOT
from tests.scans import png, write_folder, write_zip

MEMBERS = {f"{label}/{n}.png": png(n + 10 * ord(label)) for label in "ab" for n in range(3)}


def test_an_entry_of_the_platform_is_read_and_what_it_adds_is_ignored() -> None:
    entry = {
        "TrainingInputMode": "Pipe",
        "S3DistributionType": "ShardedByS3Key",
        "RecordWrapperType": "RecordIO",
        "ContentType": "Application/X-RecordIO; charset=binary",
        "EnableFFM": "false",
    }
    assert read_input_data_config({"train": entry})["train"] == ChannelConfig(
        mode="Pipe",
        distribution="ShardedByS3Key",
        wrapper="RecordIO",
        content_type="application/x-recordio",
    )


@pytest.mark.parametrize(
    "entry", [{"TrainingInputMode": "File"}, {}, {"ContentType": None}, None, "File"]
)
def test_what_an_entry_does_not_say_has_the_platforms_default(entry: Any) -> None:
    (config,) = read_input_data_config({"a.b-c": entry}).values()
    assert config == ChannelConfig(
        mode="File", distribution="FullyReplicated", wrapper="None", content_type=""
    )


def test_the_example_job_of_the_project_is_read() -> None:
    file = ROOT / "local_test/test_dir/input/config/inputdataconfig.json"
    assert "train" in read_input_data_config(json.loads(file.read_text()))


def test_a_value_that_the_platform_does_not_have_is_named_with_those_it_has() -> None:
    with pytest.raises(DataError, match=r"Channel val: .*TrainingInputMode='Tape'.*'FastFile'"):
        read_input_data_config({"val": {"TrainingInputMode": "Tape"}})


def _config(mode: str, content_type: str, wrapper: str = "None") -> ChannelConfig:
    entry = {"TrainingInputMode": mode, "ContentType": content_type, "RecordWrapperType": wrapper}
    return read_input_data_config({"train": entry})["train"]


@pytest.mark.parametrize("mode", ["File", "FastFile"])
@pytest.mark.parametrize(
    "content_type",
    ["", "application/x-image", "image/jpeg", "application/zip", "application/x-zip-compressed"],
)
def test_images_and_zips_are_read_as_an_archive(
    mode: str, content_type: str, tmp_path: Path
) -> None:
    write_zip(tmp_path / "Train.zip", MEMBERS)
    with open_channel(tmp_path, _config(mode, content_type)) as source:
        assert isinstance(source, Archive)
        assert {scan.file for scan in source.scans} == set(MEMBERS)


@pytest.mark.parametrize("mode", ["File", "FastFile"])
def test_files_of_records_are_read_where_the_content_type_says_so(
    mode: str, tmp_path: Path
) -> None:
    with Archive(write_folder(tmp_path / "d", MEMBERS)) as archive:
        write_records(archive, tmp_path / "train" / "shards", 2)
    write_folder(tmp_path / "train", {".hidden": b"x", "train.idx": b"x", "lost+found/x": b"x"})
    with open_channel(tmp_path / "train", _config(mode, "application/x-tfrecord")) as source:
        assert isinstance(source, Records)
        assert {scan.file for scan, _ in source.stream()} == set(MEMBERS)


def test_a_folder_of_records_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = _config("File", "application/x-recordio")
    with (
        open_channel(tmp_path / "train", config) as source,
        pytest.raises(DataError, match=r"train cannot be read: .*No such file"),
    ):
        list(source.stream())


@pytest.mark.parametrize(
    ("mode", "content_type", "wanted"),
    [
        ("File", "text/csv", "application/zip"),
        ("FastFile", "application/x-parquet", "application/x-image, image/*"),
        ("Pipe", "application/x-recordio-protobuf", "application/x-tfrecord"),
        ("Pipe", "application/zip", "application/x-tfrecord"),
    ],
)
def test_a_content_type_that_cannot_be_read_is_named_with_those_that_can(
    mode: str, content_type: str, wanted: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(
            DataError, match=f"{content_type}' cannot be read in input mode {mode}"
        ) as at,
        open_channel(tmp_path, _config(mode, content_type)),
    ):
        pass
    assert f"{mode}; wanted" in str(at.value)
    assert wanted in str(at.value)


def test_images_in_a_pipe_need_a_wrapper_that_tells_them_apart(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="RecordWrapperType=RecordIO and an augmented manifest"),
        open_channel(tmp_path, _config("Pipe", "image/jpeg")),
    ):
        pass
    with open_channel(tmp_path / "train", _config("Pipe", "image/jpeg", "RecordIO")) as source:
        assert source.path == tmp_path / "train_0"


@pytest.mark.parametrize(
    ("name", "entry", "cause"),
    [
        ("model", {"TrainingInputMode": "Pipe"}, "Channel model: input mode Pipe"),
        ("model", {"ContentType": "text/csv"}, "Channel model: .*application/x-sagemaker-model"),
        ("pretrained", {"ContentType": "image/png"}, "Channel pretrained: .*octet-stream"),
    ],
)
def test_channels_that_hold_no_scans_come_as_files_of_their_types(
    name: str, entry: dict[str, str], cause: str
) -> None:
    with pytest.raises(DataError, match=cause):
        read_input_data_config({name: entry})


def test_the_model_channel_has_the_type_that_sagemaker_gives_it() -> None:
    given = {"ContentType": "application/x-sagemaker-model", "TrainingInputMode": "File"}
    assert read_input_data_config({"model": given})["model"].mode == "File"
