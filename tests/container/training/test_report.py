"""training.report: the files a job leaves in output/data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor.training.bootstrap import Estimate
from brain_tumor.training.metrics import Epoch, Fit, Training, Validation
from brain_tumor.training.quality import model_quality
from brain_tumor.training.report import write_findings, write_history
from brain_tumor.training.robustness import Condition, Robustness
from tests.evaluations import evaluation_of, findings_of

NAMES = ["glioma", "no tumor, really"]
EVALUATION = evaluation_of(
    [0, 1, 1],
    [0, 1, 0],
    class_names=NAMES,
    files=["glioma/1.jpg", "a, b/2.jpg", "no/3.jpg"],
    probabilities=np.array([[0.75, 0.25], [0.125, 0.875], [0.5001, 0.4999]], np.float32),
)
CONDITIONS = [Condition("corruption", "blurred", 0.5, Estimate(-0.1, None, None))]
FINDINGS = findings_of(EVALUATION, robustness=Robustness(3, 2 / 3, 2 / 3, CONDITIONS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder that was made to hold the evaluation."""
    write_findings(FINDINGS, tmp_path / "output" / "data")
    return tmp_path / "output" / "data"


def test_every_promised_file_is_written(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "MODEL_CARD.md",
        "evaluation.json",
        "report.html",
        "reliability.png",
        "risk_coverage.png",
        "robustness.png",
        "roc_curves.png",
        "classification_report.json",
        "classification_report.txt",
        "confusion_matrix.csv",
        "confusion_matrix.png",
        "predictions.csv",
    }


def test_predictions_have_a_row_a_file_and_a_column_a_class(folder: Path) -> None:
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["file", "label", "predicted", "probability", *NAMES],
        ["glioma/1.jpg", "glioma", "glioma", "0.750000", "0.750000", "0.250000"],
        ["a, b/2.jpg", NAMES[1], NAMES[1], "0.875000", "0.125000", "0.875000"],
        ["no/3.jpg", NAMES[1], "glioma", "0.500100", "0.500100", "0.499900"],
    ]


def test_the_confusion_matrix_is_written_with_names_on_both_sides(folder: Path) -> None:
    with (folder / "confusion_matrix.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == NAMES
    assert rows[1:] == [["glioma", "1", "0"], [NAMES[1], "1", "1"]]


def test_evaluation_json_is_the_model_quality_form(folder: Path) -> None:
    written = json.loads((folder / "evaluation.json").read_text())
    assert written == model_quality(FINDINGS)


def test_both_classification_reports_are_scikit_learns(folder: Path) -> None:
    written = json.loads((folder / "classification_report.json").read_text())
    assert written["glioma"] == {"precision": 0.5, "recall": 1.0, "f1-score": 2 / 3, "support": 1}
    assert written["accuracy"] == pytest.approx(2 / 3)
    assert {"macro avg", "weighted avg", *NAMES} <= set(written)
    text = (folder / "classification_report.txt").read_text()
    assert all(name in text for name in ("precision", "recall", "f1-score", "support", *NAMES))


def _colours(path: Path) -> int:
    with Image.open(path) as picture:
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
    return len(colours or [])


def test_the_confusion_matrix_is_drawn(folder: Path) -> None:
    assert _colours(folder / "confusion_matrix.png") > 50


def test_what_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    one_class = evaluation_of([0, 0], [0, 1], class_names=NAMES)
    write_findings(findings_of(one_class), tmp_path)
    pictures = {path.stem for path in tmp_path.glob("*.png")}
    assert pictures == {"confusion_matrix", "reliability", "risk_coverage"}


def test_a_report_can_be_written_over_a_former_one(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.[jct]*")}
    write_findings(FINDINGS, folder)
    assert {path.name: path.read_bytes() for path in folder.glob("*.[jct]*")} == before


@pytest.mark.parametrize("count", [1, 3])
def test_the_history_holds_every_epoch_and_is_drawn(count: int, tmp_path: Path) -> None:
    epochs = [Epoch(n, 1 / n, 0.5, 1.5 / n, 0.5, 1e-3, 2.0) for n in range(1, count + 1)]
    fitted = Fit(epochs, epochs[-1], "all epochs done")
    write_history(Training([fitted], None, fitted), tmp_path)
    written = json.loads((tmp_path / "training_history.json").read_text())
    assert (written["ended"], written["kept_epochs"]) == ("all epochs done", [count])
    assert written["validation"] == {"loss": 1.5 / count, "accuracy": 0.5}
    assert [Epoch(**epoch) for epoch in written["epochs"]] == epochs
    assert set(written["epochs"][0]) >= {
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "seconds",
    }
    assert _colours(tmp_path / "learning_curves.png") > 50


def test_the_history_of_a_taught_soup_names_its_lessons(tmp_path: Path) -> None:
    epochs = [Epoch(n, 1 / n, 0.5, 1.5 / n, 0.5, 1e-3, 2.0) for n in range(1, 5)]
    members = [Fit([epochs[0]], epochs[0], "all"), Fit([epochs[1]], epochs[1], "all")]
    taught = Fit(epochs[2:], epochs[3], "all epochs done")
    write_history(Training(members, Validation(0.25, 0.75), taught, taught), tmp_path)
    written = json.loads((tmp_path / "training_history.json").read_text())
    assert [Epoch(**epoch) for epoch in written["epochs"]] == epochs
    assert written["kept_epochs"] == [4]
    assert written["validation"] == {"loss": 1.5 / 4, "accuracy": 0.5}
    assert written["taught"] == {"first_epoch": 3, "kept_epoch": 4, "ended": "all epochs done"}
    assert _colours(tmp_path / "learning_curves.png") > 50


def test_the_history_of_a_soup_names_its_members_and_what_is_kept(tmp_path: Path) -> None:
    epochs = [Epoch(n, 1 / n, 0.5, 1.5 / n, 0.5, 1e-3, 2.0) for n in range(1, 5)]
    members = [
        Fit(epochs[:2], epochs[1], "all epochs done"),
        Fit(epochs[2:], epochs[2], "the 60 seconds for training are used up"),
    ]
    write_history(Training(members, Validation(0.25, 0.75), None), tmp_path)
    written = json.loads((tmp_path / "training_history.json").read_text())
    assert [Epoch(**epoch) for epoch in written["epochs"]] == epochs
    assert written["kept_epochs"] == [2, 3]
    assert written["validation"] == {"loss": 0.25, "accuracy": 0.75}
    assert written["ended"] == "the 60 seconds for training are used up"
    assert written["taught"] is None
    assert written["members"] == [
        {"first_epoch": 1, "kept_epoch": 2, "ended": "all epochs done"},
        {"first_epoch": 3, "kept_epoch": 3, "ended": "the 60 seconds for training are used up"},
    ]
    assert _colours(tmp_path / "learning_curves.png") > 50
