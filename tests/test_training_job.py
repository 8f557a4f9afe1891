"""Real training jobs: `brain-tumor train` in its own process, on an /opt/ml folder."""

import csv
import json
import os
import re
import signal
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from brain_tumor.artifact import SIGNATURES, load_info
from brain_tumor.training.metrics import LEAK_FREE_ACCURACY, METRIC_DEFINITIONS, TEST_ACCURACY
from tests.event_files import pictures, scalars
from tests.jobs import BIN, UNMEASURED, make_ml_dir, run_train
from tests.scans import jpeg, write_folder, write_zip

PROMISED = (
    "model/1/saved_model.pb",
    "model/1/variables/variables.index",
    "model/class_names.json",
    "model/model.json",
    "output/data/learning_curves.png",
    "output/data/training_history.json",
    "output/data/confusion_matrix.png",
    "output/data/confusion_matrix.csv",
    "output/data/classification_report.json",
    "output/data/classification_report.txt",
    "output/data/evaluation.json",
    "output/data/predictions.csv",
    "output/data/dataset_report.json",
    "output/data/report.html",
    "output/data/MODEL_CARD.md",
)


def test_every_promised_file_is_there_and_readable_by_all(trained: Path) -> None:
    for name in PROMISED:
        assert (trained / name).stat().st_mode & 0o444 == 0o444, name
    assert not list(trained.rglob(".incomplete*"))


def test_the_model_holds_no_links_which_sagemaker_does_not_allow(trained: Path) -> None:
    for path in (trained / "model").rglob("*"):
        assert not path.is_symlink(), path
        # tar writes a second name of a file as a link too.
        assert path.is_dir() or path.stat().st_nlink == 1, path


def test_the_card_of_the_default_job_names_imagenets_weights(
    prepared: Path, tmp_path: Path
) -> None:
    parts = {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")}
    ml_dir = make_ml_dir(tmp_path / "ml", parts, {"epochs": "1", "image-size": "64"})
    job = run_train(ml_dir)
    assert job.returncode == 0, job.stderr
    card = (ml_dir / "output" / "data" / "MODEL_CARD.md").read_text()
    assert "| Network | lite0, input 64 x 64" in card
    assert "| Start of training | pretrained weights (ImageNet) |" in card
    assert "non-commercial" in card


def test_the_saved_model_has_every_signature_and_says_how_it_looks_twice(trained: Path) -> None:
    signatures = tf.saved_model.load(str(trained / "model/1")).signatures
    assert set(signatures) == set(SIGNATURES)
    info = load_info(trained / "model")
    assert info.second_look_size == round(info.image_size * 15 / 13)
    card = (trained / "output/data/MODEL_CARD.md").read_text()
    assert "less than 90\N{NO-BREAK SPACE}% is predicted mirrored and enlarged" in card


def test_the_pictures_can_be_opened(trained: Path) -> None:
    for name in ("learning_curves.png", "confusion_matrix.png"):
        with Image.open(trained / "output" / "data" / name) as picture:
            picture.load()
            assert min(picture.size) > 300


def test_tensorboard_finds_every_epoch_and_the_confusion_matrix(trained: Path) -> None:
    folder = trained / "output" / "tensorboard"
    history = json.loads((trained / "output/data/training_history.json").read_text())
    found = scalars(folder)
    for epoch in history["epochs"]:
        for kind in ("loss", "accuracy"):
            for side in ("train", "val"):
                value = found[f"{kind}/{side}"][epoch["epoch"]]
                assert value == pytest.approx(epoch[f"{side}_{kind}"], rel=1e-6)
    assert len(found["learning_rate"]) == len(history["epochs"])
    step, _, picture = pictures(folder)["confusion_matrix"]
    assert step == len(history["epochs"])
    assert picture == (trained / "output/data/confusion_matrix.png").read_bytes()


def test_the_reports_agree_with_each_other(trained: Path) -> None:
    data = trained / "output" / "data"
    names = json.loads((trained / "model" / "class_names.json").read_text())
    with (data / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "label", "predicted", "probability", *names]
    for row in rows:
        assert row["probability"] == row[row["predicted"]]
    accuracy = np.mean([row["label"] == row["predicted"] for row in rows])
    quality = json.loads((data / "evaluation.json").read_text())
    figure = quality["multiclass_classification_metrics"]["accuracy"]
    assert figure["value"] == pytest.approx(accuracy)
    interval = figure["confidence_interval"]
    assert interval["lower"] < accuracy < interval["upper"] or accuracy in (0, 1)
    info = json.loads((trained / "model" / "model.json").read_text())
    assert info["metrics"]["accuracy"] == pytest.approx(accuracy)
    history = json.loads((data / "training_history.json").read_text())
    assert [epoch["epoch"] for epoch in history["epochs"]] == [1, 2, 3]


def test_every_metric_definition_matches_its_own_lines_of_a_real_jobs_log_and_no_other(
    trained: Path,
) -> None:
    # CloudWatch has both streams in one.
    printed = (trained / "stdout.log").read_text()
    log = printed + (trained / "stderr.log").read_text()
    assert len(log.splitlines()) > len(printed.splitlines()) + 10
    for definition in METRIC_DEFINITIONS:
        name = definition["Name"]
        found = re.findall(definition["Regex"], log)
        # Three epochs; validation once more of the finished model; `prepare` leaves no leak.
        times = {TEST_ACCURACY: 1, LEAK_FREE_ACCURACY: 1, "val_loss": 4, "val_accuracy": 4}
        assert len(found) == times.get(name, 3)
        assert found == re.findall(rf"(?:^|; ?){name}=([^;]*);", printed, re.M)
        assert all(np.isfinite(float(figure)) for figure in found)


def test_the_last_figures_of_validation_are_those_of_the_model_that_is_saved(
    trained: Path,
) -> None:
    printed = (trained / "stdout.log").read_text()
    validation = load_info(trained / "model").metrics["validation"]
    for name in ("loss", "accuracy"):
        latest = re.findall(rf"val_{name}=([^;]*);", printed)[-1]
        assert float(latest) == pytest.approx(validation[name], rel=1e-5)


def test_the_threshold_for_uncertain_is_in_the_model_and_the_reports_say_no_leak(
    trained: Path,
) -> None:
    info = json.loads((trained / "model" / "model.json").read_text())
    quality = json.loads((trained / "output/data/evaluation.json").read_text())
    assert 0.25 < info["thresholds"]["confident"] == quality["abstention"]["threshold"]
    assert quality["leak"] == {"known": True, "picture_in_training": 0, "alike_in_training": 0}
    assert info["metrics"]["leak_free_accuracy"] == info["metrics"]["accuracy"]
    for name in ("report.html", "MODEL_CARD.md"):
        assert "the figures are leak-free" in (trained / "output" / "data" / name).read_text()


def test_a_job_whose_test_scans_were_trained_on_says_so_next_to_every_number(
    tmp_path: Path, prepared: Path
) -> None:
    mixed = tmp_path / "test"
    for name in ("Train.zip", "Test.zip"):
        with zipfile.ZipFile(prepared / name) as archive:
            archive.extractall(mixed)
    ml_dir = make_ml_dir(
        tmp_path / "ml",
        {"train": prepared / "Train.zip", "val": prepared / "Val.zip", "test": mixed},
        {"epochs": "1", "image-size": "32", "backbone": "small"},
    )
    job = run_train(ml_dir)
    assert job.returncode == 0, job.stderr
    data = ml_dir / "output" / "data"
    quality = json.loads((data / "evaluation.json").read_text())
    seen, count = quality["leak"]["picture_in_training"], quality["dataset"]["item_count"]
    assert 0 < seen < count
    assert quality["headline"]["scans"] == count - quality["leak"]["alike_in_training"]
    free = quality["headline"]["accuracy"]["value"]
    everything = quality["multiclass_classification_metrics"]["accuracy"]["value"]
    assert f"{TEST_ACCURACY}={everything:.6g};" in job.stdout
    assert f"{LEAK_FREE_ACCURACY}={free:.6g};" in job.stdout
    sentence = f"LEAK: {seen} of the {count} scans of test show a picture that was trained on"
    for text in (
        job.stderr,
        (data / "report.html").read_text(),
        (data / "MODEL_CARD.md").read_text(),
    ):
        assert sentence in text


def test_the_same_seed_gives_the_same_model(trained: Path, prepared: Path, tmp_path: Path) -> None:
    again = make_ml_dir(
        tmp_path / "ml",
        {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")},
        {
            "epochs": "3",
            "image_size": '"32"',
            "batch_size": "8",
            "backbone": "small",
            # Defaults, as a tuner and SDK 2 spell them.
            "learning-rate": "2.0E-3",
            "augment": '"True"',
            "pretrained": '"False"',
            "_tuning_objective_metric": "val_accuracy",
            "sagemaker_region": '"x"',
            # Not there: the toolkit would run it, were it not told to call a function of ours.
            "sagemaker_program": '"own.py"',
            "sagemaker_submit_directory": '"s3://bucket/own/sourcedir.tar.gz"',
        },
    )
    job = run_train(again)
    assert job.returncode == 0, job.stderr
    assert 'The script "own.py" (hyperparameter sagemaker_program) is not run' in job.stderr
    first, second = (
        np.genfromtxt(ml / "output/data/predictions.csv", delimiter=",", skip_header=1)[:, 4:]
        for ml in (trained, again)
    )
    np.testing.assert_allclose(first, second, atol=0.02)


def _no_channels(_: Path) -> dict[str, Path]:
    return {}


def _channel(make: Callable[[Path], Path]) -> Callable[[Path], dict[str, Path]]:
    return lambda folder: {"train": make(folder)}


def _empty_class(folder: Path) -> Path:
    data = write_folder(folder / "d", {f"a/{n}.jpg": jpeg(n) for n in range(4)})
    (data / "glioma").mkdir()
    return data


def _one_class(folder: Path) -> Path:
    return write_folder(folder / "d", {f"glioma/{n}.jpg": jpeg(n) for n in range(4)})


def _broken_zip(folder: Path) -> Path:
    whole = write_zip(folder / "Train.zip", {f"a/{n}.jpg": jpeg(n) for n in range(4)})
    whole.write_bytes(whole.read_bytes()[:-30])
    return whole


def _unsafe_zip(folder: Path) -> Path:
    return write_zip(folder / "Train.zip", {"../../a/1.jpg": jpeg(1), "b/1.jpg": jpeg(2)})


@pytest.mark.parametrize(
    ("channels", "hyperparameters", "cause"),
    [
        (_no_channels, {}, "no training data"),
        (_channel(_empty_class), {}, "empty class folder: glioma"),
        (_channel(_one_class), {}, "one class only, 'glioma'"),
        (_channel(_broken_zip), {}, "Train.zip is not a readable zip"),
        (_channel(_unsafe_zip), {}, "points outside the folder"),
        (_channel(_one_class), {"epochs": "ten"}, "Hyperparameter epochs='ten'"),
        (_channel(_one_class), {"epoch": "3"}, "did you mean 'epochs'?"),
    ],
)
def test_a_job_that_cannot_be_done_fails_with_its_cause_first_and_leaves_no_model(
    tmp_path: Path,
    channels: Callable[[Path], dict[str, Path]],
    hyperparameters: dict[str, str],
    cause: str,
) -> None:
    (tmp_path / "given").mkdir()
    ml_dir = make_ml_dir(tmp_path / "ml", channels(tmp_path / "given"), hyperparameters)
    (ml_dir / "output" / "failure").write_text("of a former run")
    job = run_train(ml_dir)
    assert job.returncode != 0
    first_line = (ml_dir / "output" / "failure").read_text().splitlines()[0]
    assert cause in first_line
    assert cause in job.stderr
    assert list((ml_dir / "model").iterdir()) == []
    assert not (tmp_path / "a").exists()


def test_an_unexpected_failure_names_itself_first_and_leaves_no_model(
    tmp_path: Path, prepared: Path
) -> None:
    ml_dir = make_ml_dir(
        tmp_path / "ml",
        {"train": prepared / "Train.zip"},
        {"epochs": "1", "image-size": "32", "backbone": "small"},
    )
    # A report cannot be written over a folder.
    (ml_dir / "output" / "data" / "predictions.csv").mkdir()
    job = run_train(ml_dir)
    assert job.returncode != 0
    assert (ml_dir / "output" / "failure").read_text().startswith("IsADirectoryError: ")
    assert list((ml_dir / "model").iterdir()) == []


def test_without_val_and_test_it_trains_says_so_and_splits_off_validation(
    tmp_path: Path, phantoms: Path
) -> None:
    ml_dir = make_ml_dir(
        tmp_path / "ml",
        {"train": phantoms},
        {"epochs": "1", "image-size": "32", "backbone": "small"},
    )
    job = run_train(ml_dir)
    assert job.returncode == 0, job.stderr
    assert "No test channel" in job.stderr
    splits = json.loads((ml_dir / "output/data/dataset_report.json").read_text())["splits"]
    assert set(splits) == {"train", "val"}
    assert not set(splits["train"]) & set(splits["val"])
    with zipfile.ZipFile(phantoms) as archive:
        assert len(splits["train"]) + len(splits["val"]) == len(archive.namelist())


def test_sigterm_ends_training_early_with_a_model_and_exit_code_0(
    tmp_path: Path, prepared: Path
) -> None:
    ml_dir = make_ml_dir(
        tmp_path / "ml",
        {"train": prepared / "Train.zip", "test": prepared / "Test.zip"},
        {"epochs": "10000", "patience": "10000", "image-size": "32", "backbone": "small"},
    )
    process = subprocess.Popen(
        [BIN / "brain-tumor", "train"],
        env={**os.environ, **UNMEASURED, "SAGEMAKER_BASE_DIR": str(ml_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch=2;"):
                process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 0
    history = json.loads((ml_dir / "output/data/training_history.json").read_text())
    assert history["ended"] == "asked to stop"
    assert (ml_dir / "model" / "model.json").is_file()
    robustness = json.loads((ml_dir / "output/data/evaluation.json").read_text())["robustness"]
    assert robustness["conditions"] == []
    assert "asked to stop" in robustness["skipped"]
    assert (
        "Not measured: the job was asked to stop"
        in (ml_dir / "output/data/report.html").read_text()
    )


def test_training_goes_on_from_the_tarball_of_a_former_job_also_at_another_size(
    trained: Path, prepared: Path, tmp_path: Path
) -> None:
    tarball = tmp_path / "model.tar.gz"
    # As SageMaker makes it: the content of model/, without a leading folder.
    subprocess.run(["tar", "-czf", tarball, "-C", trained / "model", "."], check=True)
    channels = {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")}
    ml_dir = make_ml_dir(
        tmp_path / "ml",
        {**channels, "model": tarball},
        {"epochs": "1", "image-size": "48", "backbone": "small"},
    )
    job = run_train(ml_dir)
    assert job.returncode == 0, job.stderr
    former, info = load_info(trained / "model"), load_info(ml_dir / "model")
    assert info.image_size == 48
    assert info.data["former_model"]["created"] == former.created.isoformat()
    assert f"Training goes on from the model of {former.created.isoformat()}" in job.stderr
    card = (ml_dir / "output/data/MODEL_CARD.md").read_text()
    assert "| Start of training | from scratch, then the model of 20" in card
    # Nothing was written into the channel.
    assert [file.name for file in (ml_dir / "input/data/model").iterdir()] == ["model.tar.gz"]


def test_train_outside_of_the_image_names_the_folder_that_is_missing(tmp_path: Path) -> None:
    job = run_train(tmp_path)
    assert job.returncode == 1
    assert f"{tmp_path}/input/config/resourceconfig.json does not exist" in job.stderr


@pytest.mark.parametrize("name", ["resourceconfig.json", "inputdataconfig.json"])
def test_a_config_file_that_is_no_json_is_named(tmp_path: Path, name: str) -> None:
    ml_dir = make_ml_dir(tmp_path / "ml", {}, {})
    (ml_dir / "input" / "config" / name).write_text("{")
    job = run_train(ml_dir)
    assert job.returncode == 1
    assert name in (ml_dir / "output" / "failure").read_text().splitlines()[0]


def test_missing_hyperparameters_and_channels_are_taken_for_none(tmp_path: Path) -> None:
    ml_dir = make_ml_dir(tmp_path / "ml", {}, {})
    (ml_dir / "input" / "config" / "hyperparameters.json").unlink()
    (ml_dir / "input" / "config" / "inputdataconfig.json").unlink()
    job = run_train(ml_dir)
    assert job.returncode == 1
    assert "no channel at all" in (ml_dir / "output" / "failure").read_text()
