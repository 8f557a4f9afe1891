"""Pipe mode's FIFOs, read by hand."""

import struct
from pathlib import Path

import pytest

from local_test.emulator.pipes import Feeder


@pytest.fixture
def objects(tmp_path: Path) -> list[Path]:
    """Give two objects of some bytes."""
    paths = [tmp_path / "a", tmp_path / "b"]
    paths[0].write_bytes(b"abcde")
    paths[1].write_bytes(b"x" * 100_000)
    return paths


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give an empty folder."""
    made = tmp_path / "pipes"
    made.mkdir()
    return made


def test_each_epoch_is_a_fifo_with_all_objects_one_after_the_other(
    objects: list[Path], folder: Path
) -> None:
    with Feeder("train", objects, folder):
        for epoch in range(3):
            assert (folder / f"train_{epoch}").read_bytes() == b"abcde" + b"x" * 100_000


def test_a_reader_that_closes_early_gets_the_whole_next_epoch(
    objects: list[Path], folder: Path
) -> None:
    with Feeder("train", objects, folder):
        with (folder / "train_0").open("rb") as stream:
            assert stream.read(3) == b"abc"
        assert len((folder / "train_1").read_bytes()) == 100_005


def test_objects_are_wrapped_as_records_when_asked(objects: list[Path], folder: Path) -> None:
    with Feeder("train", objects[:1], folder, "RecordIO"):
        packed = (folder / "train_0").read_bytes()
    assert packed == struct.pack("<II", 0xCED7230A, 5) + b"abcde\0\0\0"


@pytest.mark.timeout(20)
def test_a_channel_that_nobody_reads_holds_nothing_up(objects: list[Path], folder: Path) -> None:
    with Feeder("train", objects, folder):
        assert (folder / "train_0").is_fifo()
