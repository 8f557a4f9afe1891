"""data: what is asked of a mount that streams (FastFile), where each request takes its time."""

import os
import threading
import zipfile
from pathlib import Path

import pytest

from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import decode_scans
from brain_tumor.training.channels import read_channels
from brain_tumor.training.cluster import Cluster
from brain_tumor.training.hyperparameters import Hyperparameters
from tests.hosts import meet
from tests.scans import png, write_folder, write_zip
from tests.streamed import Requests, watched

_COUNT = 40


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """Give the resolved folder that stands for the mount."""
    return (tmp_path / "mount").resolve()


def _members(first: int = 0) -> dict[str, bytes]:
    # Large beside a read buffer of 8 KiB, and stored against the order of their names.
    numbers = reversed(range(_COUNT))
    return {f"{'ab'[n % 2]}/{n:03}.png": png(first + n, 150) for n in numbers}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_from_front_to_end_and_each_byte_once(method: int, mount: Path) -> None:
    path = write_zip(mount / "Train.zip", _members(), method)
    with zipfile.ZipFile(path) as archive:
        directory = archive.start_dir
    with watched(mount) as requests, Archive(mount) as archive:
        table = decode_scans(archive, 32)
    assert len(table) == _COUNT
    assert requests.opened == {str(path): 1}
    start = next(n for n, (_, offset, _) in enumerate(requests.reads) if offset == 0)
    # Before that the directory at the end was read, which says what is where.
    assert all(offset >= directory - 8192 for _, offset, _ in requests.reads[:start])
    end = 0
    for _, offset, count in requests.reads[start:]:
        assert offset == end
        end += count
    assert end >= directory
    slack = 3 * 8192
    assert requests.bytes_of(path) <= path.stat().st_size + (end - directory) + slack


def test_each_file_of_a_folder_is_read_once_and_each_folder_listed_once(mount: Path) -> None:
    members = _members()
    hidden = {".snapshot/old/a/1.png": png(1), "a/.trash/1.png": png(2), "lost+found/x": b""}
    write_folder(mount, {**members, **hidden, "notes.txt": b"", "a/1.csv": b""})
    with watched(mount) as requests, Archive(mount) as archive:
        table = decode_scans(archive, 32)
    assert len(table) == _COUNT
    assert requests.listed == {str(mount / name): 1 for name in ("", "a", "b")}
    assert requests.opened == {str(mount / name): 1 for name in members}
    for name, data in members.items():
        assert requests.bytes_of(mount / name) == len(data)


def test_many_files_of_a_folder_are_asked_for_at_the_same_time(
    mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = _members()
    write_folder(mount, members)
    together, read_bytes = threading.Barrier(_COUNT // 2), Path.read_bytes

    def read_with_others(path: Path) -> bytes:
        # Breaks where fewer than half of the files are read at once.
        together.wait(timeout=30)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read_with_others)
    with Archive(mount) as archive:
        assert len(decode_scans(archive, 32)) == _COUNT


@pytest.fixture
def job(mount: Path) -> Requests:
    """Give what the channels of a job ask of a mount: a zip, and a folder."""
    train = write_zip(mount / "train" / "Train.zip", _members()).parent
    val = write_folder(mount / "val", _members(1000))
    with watched(mount) as requests:
        read_channels({"train": train, "val": val}, Hyperparameters(image_size=32))
    return requests


def test_reading_the_channels_of_a_job_opens_each_file_once_and_leaves_none_open(
    job: Requests, mount: Path
) -> None:
    # An open file would be reported as ResourceWarning, which is an error here.
    assert set(job.opened.values()) == {1}
    assert set(job.listed.values()) == {1}
    assert len(job.opened) == 1 + _COUNT
    assert not [name for name in os.listdir(mount / "train") if name != "Train.zip"]  # noqa: PTH208


def test_each_of_several_hosts_lists_its_folders_and_reads_its_files_once(mount: Path) -> None:
    members = _members()
    parts = [{name: data for name, data in members.items() if name[0] == label} for label in "ab"]
    shards = [write_folder(mount / f"host-{n}", part) for n, part in enumerate(parts)]

    def read(cluster: Cluster) -> int:
        folders = {"train": shards[cluster.hosts.index]}
        return read_channels(folders, Hyperparameters(image_size=32), cluster=cluster).report.files

    with watched(mount) as requests:
        assert meet(("algo-1", "algo-2"), read) == [_COUNT, _COUNT]
    assert (len(requests.listed), set(requests.listed.values())) == (4, {1})
    assert (len(requests.opened), set(requests.opened.values())) == (_COUNT, {1})
