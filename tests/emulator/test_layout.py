"""The files of an /opt/ml before anything runs."""

import json
from pathlib import Path

import pytest

from local_test.emulator.channels import Channel
from local_test.emulator.layout import Layout, config_files, laid_out
from local_test.emulator.specification import TrainingJob
from tests.jobs import ROOT


@pytest.fixture
def channel(tmp_path: Path) -> Channel:
    """Give a channel of two objects."""
    folder = tmp_path / "train"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "sub/b").write_text("b")
    return Channel("train", folder, content_type="image/png")


def _config(job: TrainingJob, host: str = "algo-1") -> dict[str, object]:
    files = config_files(job, host)
    return {Path(name).stem: json.loads(content) for name, content in files.items()}  # type: ignore[arg-type]


def test_the_three_files_have_every_field_of_the_platforms(channel: Channel) -> None:
    job = TrainingJob(
        name="job",
        image="image",
        channels=(channel, Channel("val", channel.source, mode="File", sharded=True)),
        hyperparameters={"epochs": "10"},
        instance_count=2,
        instance_type="ml.c5.xlarge",
    )
    assert _config(job, "algo-2") == {
        "hyperparameters": {"epochs": "10"},
        "inputdataconfig": {
            "train": {
                "ContentType": "image/png",
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            },
            "val": {
                "TrainingInputMode": "File",
                "S3DistributionType": "ShardedByS3Key",
                "RecordWrapperType": "None",
            },
        },
        "resourceconfig": {
            "current_host": "algo-2",
            "current_instance_type": "ml.c5.xlarge",
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1", "algo-2"],
            "instance_groups": [
                {
                    "instance_group_name": "homogeneousCluster",
                    "instance_type": "ml.c5.xlarge",
                    "hosts": ["algo-2", "algo-1"],
                }
            ],
            "network_interface_name": "eth0",
            "topology": None,
        },
    }


def test_one_host_reads_what_the_folder_for_local_training_holds() -> None:
    folder = ROOT / "local_test/test_dir/input/config"
    expected = json.loads((folder / "resourceconfig.json").read_text())
    assert _config(TrainingJob(name="job", image="image"))["resourceconfig"] == expected


def _laid_out(*channels: Channel, host: str = "algo-1", count: int = 1) -> Layout:
    job = TrainingJob(name="job", image="image", channels=channels, instance_count=count)
    with laid_out(job, host) as layout:
        return layout


def test_files_are_copied_in_file_mode_and_a_job_without_channels_has_the_folder(
    channel: Channel,
) -> None:
    copied = _laid_out(channel).files
    assert copied["input/data/train/sub/b"] == channel.source / "sub/b"
    assert {"model", "output/data", "input/data"} <= copied.keys()
    alone = _laid_out().files
    assert alone["input/data"] is None
    assert "checkpoints" not in alone


def test_a_host_with_an_empty_share_has_no_folder_for_the_channel(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("")
    channel = Channel("one", tmp_path / "one", sharded=True)
    assert "input/data/one/one" in _laid_out(channel, count=2).files
    second = _laid_out(channel, host="algo-2", count=2).files
    assert not [name for name in second if name.startswith("input/data/")]


def test_checkpoints_are_restored_on_every_host(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/epoch-1").write_text("x")
    job = TrainingJob(name="job", image="image", instance_count=2, checkpoints=tmp_path)
    for host in job.hosts:
        with laid_out(job, host) as layout:
            assert layout.files["checkpoints/sub/epoch-1"] == tmp_path / "sub/epoch-1"


def test_fast_file_mounts_the_channels_own_folder_unless_it_has_links(channel: Channel) -> None:
    fast = Channel("train", channel.source, mode="FastFile")
    job = TrainingJob(name="job", image="image", channels=(fast,))
    with laid_out(job, "algo-1") as layout:
        assert [bind.source for bind in layout.binds] == [str(channel.source)]
    # A link may lead out of what is mounted.
    for link, target, inside in (("link", "a", ""), ("folder", "sub", "/b")):
        (channel.source / link).symlink_to(channel.source / target)
        with laid_out(job, "algo-1") as layout:
            (bind,) = layout.binds
            assert bind.source != str(channel.source)
            found = (Path(bind.source) / f"{link}{inside}").resolve()
            assert found.is_relative_to(bind.source)
            assert found.read_text() == f"{target}{inside}".removeprefix("sub/")
        (channel.source / link).unlink()
        assert not Path(bind.source).exists()
