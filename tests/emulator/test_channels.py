"""Channels: what is found on the command line, in which order, and who gets what."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from local_test.emulator.channels import Channel, find_channels
from local_test.emulator.errors import EmulatorError


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_objects_come_in_the_order_of_their_keys_bytes_and_links_are_followed(
    tmp_path: Path,
) -> None:
    folder = _write(tmp_path / "train", "b", "a/x", "a.txt", "ä", "Z")
    (folder / "empty").mkdir()
    (folder / "link").symlink_to(folder / "b")
    assert list(Channel("train", folder).objects()) == ["Z", "a.txt", "a/x", "b", "link", "ä"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_sharding_gives_each_object_to_one_host_and_as_many_to_each(
    tmp_path: Path, count: int
) -> None:
    folder = _write(tmp_path / "train", *(f"{number}" for number in range(5)))
    channel = Channel("train", folder, sharded=True)
    hosts = [f"algo-{number}" for number in range(1, count + 1)]
    shares = [list(channel.share(host, hosts)) for host in hosts]
    assert sorted(itertools.chain(*shares)) == list(channel.objects())
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(replace(channel, sharded=False).share(h, hosts) == channel.objects() for h in hosts)


def test_a_folder_of_folders_gives_its_channels_and_names_what_is_in_none(tmp_path: Path) -> None:
    folder = _write(tmp_path / "data", "train/a", "val/b", "report.json")
    channels, left_out = find_channels([str(folder)])
    assert [(c.name, c.source) for c in channels] == [
        ("train", folder / "train"),
        ("val", folder / "val"),
    ]
    assert left_out == [str(folder / "report.json")]


def test_a_channel_may_be_a_file_or_folder_of_any_name(tmp_path: Path) -> None:
    folder = _write(tmp_path, "Train.zip", "scans=2/a")
    channels, _ = find_channels([f"train={folder}/Train.zip", f"a.b-c_d={folder}/scans=2"])
    assert [list(channel.objects()) for channel in channels] == [["Train.zip"], ["a"]]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["{}/absent"], "there is no such folder"),
        (["{}/flat"], "holds no folder: .*train={}/flat"),
        (["train={}/absent"], "Channel train: {}/absent does not exist"),
        (["train={}/hollow"], "Channel train: {}/hollow holds no file"),
        (["train={}/flat", "train={}/flat"], "train is given twice"),
        (["tr/ain={}/flat"], "'tr/ain' is no name for a channel"),
        ([f"c{n}={{}}/flat" for n in range(21)], "21 channels: SageMaker takes 20"),
    ],
)
def test_what_cannot_be_channels_is_refused_with_the_reason(
    tmp_path: Path, words: list[str], reason: str
) -> None:
    _write(tmp_path, "flat/file")
    (tmp_path / "hollow/sub").mkdir(parents=True)
    with pytest.raises(EmulatorError, match=reason.format(tmp_path)):
        find_channels([word.format(tmp_path) for word in words])


def test_linked_folders_are_followed_and_a_link_that_leads_nowhere_or_back_is_named(
    tmp_path: Path,
) -> None:
    folder = _write(tmp_path / "train", "a")
    (folder / "more").symlink_to(_write(tmp_path / "elsewhere", "sub/b"))
    assert list(Channel("train", folder).objects()) == ["a", "more/sub/b"]
    (folder / "back").symlink_to(tmp_path)
    with pytest.raises(EmulatorError, match=rf"{folder}/back is a link to a folder that it is in"):
        Channel("train", folder).objects()
    (folder / "back").unlink()
    (folder / "gone").symlink_to("nothing")
    with pytest.raises(EmulatorError, match=rf"{folder}/gone is a link to nothing, which is not"):
        Channel("train", folder).objects()
