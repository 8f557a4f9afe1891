"""training.events: what TensorBoard reads, read back with TensorFlow's own reader."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from brain_tumor.training.events import EventLog
from brain_tumor.training.metrics import Epoch
from tests.event_files import pictures, scalars

EPOCH = Epoch(1, 0.7, 0.6, 0.5, 0.75, 2e-4, 12.5)


def test_each_epoch_can_be_read_while_the_job_goes_on(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "tensorboard")
    log.add(EPOCH)
    assert scalars(tmp_path / "tensorboard")["loss/val"] == {1: 0.5}
    log.add(replace(EPOCH, epoch=2, val_loss=0.25))
    found = scalars(tmp_path / "tensorboard")
    assert found["loss/val"] == {1: 0.5, 2: 0.25}
    assert {tag: steps[1] for tag, steps in found.items()} == {
        "loss/train": pytest.approx(0.7),
        "loss/val": 0.5,
        "accuracy/train": pytest.approx(0.6),
        "accuracy/val": 0.75,
        "learning_rate": pytest.approx(2e-4),
        "seconds": 12.5,
    }


def test_an_epoch_costs_less_than_a_thousand_bytes(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    sizes = []
    for number in range(1, 4):
        log.add(replace(EPOCH, epoch=number))
        sizes.append(next(tmp_path.iterdir()).stat().st_size)
    assert 0 < sizes[2] - sizes[1] < 1000


def test_a_picture_stands_at_its_epoch_with_its_size(tmp_path: Path) -> None:
    png = tmp_path / "matrix.png"
    Image.new("L", (30, 20), 7).save(png)
    EventLog(tmp_path / "tensorboard").add_picture("confusion_matrix", png, 9)
    ((tag, (step, size, data)),) = pictures(tmp_path / "tensorboard").items()
    assert (tag, step, size) == ("confusion_matrix", 9, (30, 20))
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (30, 20)
