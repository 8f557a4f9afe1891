"""Real scans, where BRAIN_TUMOR_ARCHIVE names an archive of them: prepared, trained on, served."""

import csv
import hashlib
import json
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor import images
from brain_tumor.artifact import load_info
from brain_tumor.data.archive import Archive
from brain_tumor.data.duplicates import NEAR
from brain_tumor.data.prepare import check
from brain_tumor.data.report import DatasetReport
from brain_tumor.data.scans import decode_scans
from brain_tumor.serving.engine import load_engine
from tests.jobs import make_ml_dir, run_cli, run_train
from tests.ports import free_port
from tests.server import Server

ARCHIVE = os.environ.get("BRAIN_TUMOR_ARCHIVE")

pytestmark = pytest.mark.skipif(
    ARCHIVE is None, reason="BRAIN_TUMOR_ARCHIVE names no archive of real scans"
)


@pytest.fixture(scope="module")
def real_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give Train.zip, Val.zip and Test.zip of the real scans."""
    folder = tmp_path_factory.mktemp("real")
    done = run_cli("prepare", str(ARCHIVE), str(folder))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def real_model(real_parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an /opt/ml after a short job on the real scans."""
    ml_dir = make_ml_dir(
        tmp_path_factory.mktemp("real-ml") / "ml",
        {name: real_parts / f"{name.title()}.zip" for name in ("train", "val", "test")},
        {"epochs": "4", "image-size": "64"},
    )
    job = run_train(ml_dir)
    assert job.returncode == 0, job.stderr
    return ml_dir


def test_no_real_picture_stands_on_two_sides(real_parts: Path) -> None:
    seen: dict[str, str] = {}
    for name in ("Train.zip", "Val.zip", "Test.zip"):
        with zipfile.ZipFile(real_parts / name) as archive:
            for member in archive.namelist():
                pixels = images.decode(archive.read(member))
                digest = hashlib.sha256(pixels.tobytes()).hexdigest()
                assert digest not in seen, f"{name}/{member} is {seen[digest]}"
                seen[digest] = f"{name}/{member}"
    assert len(seen) > 1000


@pytest.fixture(scope="module")
def real_report() -> DatasetReport:
    """Give the report on the archive with its own sides."""
    return check(Path(str(ARCHIVE)), None)


def test_most_of_the_official_test_side_leaks_and_most_of_that_is_mirrored(
    real_report: DatasetReport,
) -> None:
    leaks = [leak for leak in real_report.leaks if leak.side == "test"]
    assert len(leaks) > 0.7 * len(real_report.splits["test"])
    poses = Counter(leak.pose for leak in leaks)
    assert poses.most_common(1)[0][0] == "mirror"
    assert set(poses) <= {"mirror", "identity", "flip", "rot180"}
    assert max(leak.distance for leak in leaks) < 0.015
    memory = real_report.shortcuts.nearest_neighbour
    assert memory is not None
    assert memory.accuracy_without is not None
    assert memory.accuracy - memory.accuracy_without > 0.15
    assert "colour mode" in real_report.shortcuts.clear
    assert len(real_report.conflicts) == 4


def test_no_real_scan_resembles_one_of_another_side(real_parts: Path) -> None:
    """Compare a sample by definition: no tree, no bound, no cosine transform."""
    sides = {}
    for name in ("Train.zip", "Val.zip", "Test.zip"):
        with Archive(real_parts / name) as archive:
            sides[name] = decode_scans(archive).thumbnails
    for name in ("Val.zip", "Test.zip"):
        for kind in ("whole", "head"):
            known, sample = (getattr(sides[side], kind)[:] for side in ("Train.zip", name))
            sample = sample[::5]
            for turned in (sample, sample.swapaxes(1, 2)):
                for flipped in (turned, turned[:, ::-1], turned[:, :, ::-1], turned[:, ::-1, ::-1]):
                    nearest = (_standardised(flipped) @ _standardised(known).T).max()
                    assert 1 - nearest > NEAR


def _standardised(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    standardised: NDArray[np.float32] = (flat / np.maximum(norms, 1e-6)).astype(np.float32)
    return standardised


def test_a_short_job_learns_far_more_than_the_largest_class(real_model: Path) -> None:
    quality = json.loads((real_model / "output/data/evaluation.json").read_text())
    figures = quality["multiclass_classification_metrics"]
    # Distinct pictures: nearly half of them are gliomas, more than of the files.
    constant = figures["accuracy_best_constant_classifier"]["value"]
    assert 0.4 < constant < 0.5
    assert figures["accuracy"]["value"] > max(0.75, constant + 0.25)


def _evaluated(real_model: Path) -> tuple[list[dict[str, str]], NDArray[np.float32]]:
    """Give the rows of predictions.csv, and the probabilities (n, classes) in them."""
    with (real_model / "output/data/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = json.loads((real_model / "model/class_names.json").read_text())
    return rows, np.array([[float(row[name]) for name in names] for row in rows], np.float32)


@pytest.mark.parametrize(
    ("precision", "labels", "bound"), [("float32", 0.0, 1e-4), ("auto", 0.005, 0.05)]
)
def test_openvino_answers_every_real_scan_as_tensorflow_evaluated_it(
    precision: Any, labels: float, bound: float, real_model: Path, real_parts: Path
) -> None:
    rows, wanted = _evaluated(real_model)
    size = load_info(real_model / "model").image_size
    scores = load_engine(real_model / "model", "openvino", precision).scores
    with zipfile.ZipFile(real_parts / "Test.zip") as archive:
        scans = [images.resize(images.decode(archive.read(r["file"])), size) for r in rows]
    parts = [scores(np.stack(scans[n : n + 16])) for n in range(0, len(scans), 16)]
    probabilities = np.concatenate([part.probabilities for part in parts])
    differ = probabilities.argmax(axis=1) != wanted.argmax(axis=1)
    assert differ.mean() <= labels
    assert np.abs(probabilities - wanted).max() <= bound


def test_the_server_answers_each_real_scan_as_training_evaluated_it(
    real_model: Path, real_parts: Path, tmp_path: Path
) -> None:
    rows = _evaluated(real_model)[0][::10]
    exact = {"BRAIN_TUMOR_PRECISION": "float32"}
    with (
        Server.start(real_model, free_port(), tmp_path / "log", **exact) as server,
        zipfile.ZipFile(real_parts / "Test.zip") as archive,
    ):
        server.wait_until_ready()
        for row in rows:
            reply = server.request(
                "POST", "/invocations", archive.read(row["file"]), {"Content-Type": "image/jpeg"}
            )
            (entry,) = json.loads(reply.body)["predictions"]
            assert entry["label"] == row["predicted"], row["file"]
            for name, probability in entry["probabilities"].items():
                assert probability == pytest.approx(float(row[name]), abs=1e-4), row["file"]
