"""Real scans, where BRAIN_TUMOR_ARCHIVE names an archive of them: prepared, trained on, served."""

import csv
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from brain_tumor import images
from tests.jobs import make_ml_dir, run_cli, run_train
from tests.server import Server, free_port

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


def test_a_short_job_learns_far_more_than_the_largest_class(real_model: Path) -> None:
    quality = json.loads((real_model / "output/data/evaluation.json").read_text())
    figures = quality["multiclass_classification_metrics"]
    # Four epochs at 64 px give about 85 %; the full job at 128 px about 94 %.
    assert figures["accuracy"]["value"] > 0.75
    assert figures["accuracy_best_constant_classifier"]["value"] < 0.4


def test_the_server_answers_each_real_scan_as_training_evaluated_it(
    real_model: Path, real_parts: Path, tmp_path: Path
) -> None:
    with (real_model / "output/data/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::10]
    with (
        Server.start(real_model, free_port(), tmp_path / "log") as server,
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
