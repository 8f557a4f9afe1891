"""Real training jobs whose channels come in every input mode: files, a streamed mount, pipes."""

import json
import logging
import os
import re
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brain_tumor.data.pair_cache import remembering
from brain_tumor.training.channels import read_channels
from brain_tumor.training.hyperparameters import Hyperparameters
from tests.jobs import BIN, ROOT, UNMEASURED, describe_channels, make_ml_dir, run_cli, run_train
from tests.recordio import recordio


def test_the_block_of_the_training_page_writes_records_for_every_side(
    tmp_path: Path, phantoms: Path
) -> None:
    page = (ROOT / "docs/training.md").read_text()
    (code,) = re.findall(r"^```bash\n(.*?brain-tumor records.*?)^```$", page, re.M | re.S)
    shutil.copy(phantoms, tmp_path / "brain-tumor-mri.zip")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("part-00003-of-00004.tfrecord") == 3
    assert "ContentType: application/x-tfrecord" in done.stdout


@contextmanager
def _pipe(ml_dir: Path, channel: str, fill: Callable[[Any], object]) -> Iterator[None]:
    """Make the pipe of a channel's first epoch and fill it as the platform does; once only."""
    path = ml_dir / "input" / "data" / f"{channel}_0"
    os.mkfifo(path)

    def work() -> None:
        with path.open("wb") as pipe:
            fill(pipe)

    writer = threading.Thread(target=work)
    writer.start()
    yield
    writer.join(timeout=30)
    assert not writer.is_alive()


def _tree(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_job_reads_pipes_and_mounts_trains_on_the_same_scans_and_writes_nothing_beside_them(
    tmp_path: Path, prepared: Path, trained: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = run_cli("records", str(prepared), str(tmp_path / "s3"), "--files", "3")
    assert made.returncode == 0, made.stderr
    shards = [file.read_bytes() for file in sorted((tmp_path / "s3" / "train").iterdir())]
    with zipfile.ZipFile(prepared / "Test.zip") as archive:
        manifest = [(archive.read(name), name.split("/")[0]) for name in archive.namelist()]
    # No data: code of the SDK, and names that no shell variable may have; nothing is there of one.
    others = {name: tmp_path / "s3" / "val" for name in ("code", "sm_drivers", "my-notes.v1")}
    ml_dir = make_ml_dir(
        tmp_path / "ml",
        {"val": prepared / "Val.zip", **others},
        {"epochs": "1", "image-size": "32", "backbone": "small"},
    )
    entries = {
        "train": {"TrainingInputMode": "Pipe", "ContentType": "application/x-tfrecord"},
        "val": {"TrainingInputMode": "FastFile", "ContentType": "application/zip"},
        "test": {
            "TrainingInputMode": "Pipe",
            "ContentType": "application/x-image",
            "RecordWrapperType": "RecordIO",
        },
        **{f"absent.{number}": {"TrainingInputMode": "File"} for number in range(14)},
    }
    describe_channels(ml_dir, entries)
    (ml_dir / "input" / "data" / "my-notes.v1" / "x.jpg").write_bytes(b"no scan")
    pairs = b"".join(recordio(image) + recordio(label.encode()) for image, label in manifest)
    with (
        _pipe(ml_dir, "train", lambda pipe: [pipe.write(shard) for shard in shards]),
        _pipe(ml_dir, "test", lambda pipe: pipe.write(pairs)),
    ):
        before = _tree(ml_dir / "input")
        job = run_cli(
            "train",
            SAGEMAKER_BASE_DIR=str(ml_dir),
            SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY=str(tmp_path / "warm"),
            **UNMEASURED,
        )
    assert job.returncode == 0, job.stderr
    # Of a pipe not even the time of the last change stays the same.
    written = _tree(ml_dir / "input").items() ^ before.items()
    assert {Path(name).name for name, _ in written} <= {"train_0", "test_0"}
    given, wanted = (
        json.loads((folder / "model" / "model.json").read_text())["data"]
        for folder in (ml_dir, trained)
    )
    assert given == wanted
    # The next job on this machine finds what this one searched for, in whatever mode its data come.
    caplog.set_level(logging.INFO)
    folders = {side: prepared / f"{side.title()}.zip" for side in ("train", "val", "test")}
    read_channels(folders, Hyperparameters(image_size=32), search=remembering(tmp_path / "warm"))
    (kept,) = (tmp_path / "warm" / "brain-tumor").iterdir()
    assert f"from {kept}" in caplog.text


def test_a_pipe_of_what_cannot_be_streamed_ends_the_job_with_its_cause_and_frees_the_writer(
    tmp_path: Path, prepared: Path
) -> None:
    ml_dir = make_ml_dir(tmp_path / "ml", {}, {})
    describe_channels(ml_dir, {"train": {"TrainingInputMode": "Pipe"}})
    told: list[OSError] = []

    def fill(pipe: Any) -> None:
        try:
            while True:
                pipe.write((prepared / "Train.zip").read_bytes())
        except BrokenPipeError as error:
            told.append(error)
            pipe.raw.close()

    with _pipe(ml_dir, "train", fill):
        job = run_train(ml_dir)
    assert job.returncode != 0
    assert told
    first_line = (ml_dir / "output" / "failure").read_text().splitlines()[0]
    assert first_line.startswith("Channel train: ")
    assert "use input mode FastFile or File" in first_line
