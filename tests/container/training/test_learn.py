"""training.learn: the parts of a job that need TensorFlow, with the real network."""

import io
import re
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import pytest

from brain_tumor.training import learn
from brain_tumor.training.channels import Channels, read_channels
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import METRIC_DEFINITIONS, TEST_ACCURACY, Fit
from tests.scans import encode, noise, write_folder

PARAMETERS = Hyperparameters(image_size=32, batch_size=8, epochs=6, mixed_precision=True)


@dataclass(frozen=True)
class Learnt:
    """A network trained on scans that their brightness tells apart."""

    channels: Channels
    network: keras.Model
    fitted: Fit
    printed: str


def _scans(count: int, seed: int) -> dict[str, bytes]:
    return {
        f"{label}/{number}.png": encode(noise(seed + number, 32) // 3 + darkest, "PNG")
        for label, darkest in (("bright", 150), ("dark", 20))
        for number in range(count)
    }


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """Train the real network for a few seconds."""
    folder: Path = tmp_path_factory.mktemp("learn")
    folders = {
        name: write_folder(folder / name, _scans(count, seed))
        for name, count, seed in (("train", 20, 0), ("val", 6, 1000), ("test", 5, 2000))
    }
    channels = read_channels(folders, PARAMETERS)
    printed = io.StringIO()
    with redirect_stdout(printed):
        network, fitted = learn.train_network(channels, PARAMETERS, lambda: False)
    return Learnt(channels, network, fitted, printed.getvalue())


def test_the_real_network_learns_what_can_be_learnt(learnt: Learnt) -> None:
    first, last = learnt.fitted.epochs[0], learnt.fitted.epochs[-1]
    # Smoothed labels keep the training loss of two classes above 0.117.
    assert last.train_loss < 0.75 * first.train_loss
    assert learnt.fitted.best.val_loss < 0.1
    assert learnt.fitted.best.val_accuracy == 1.0


def test_what_is_served_is_in_float32_and_without_augmentation(learnt: Learnt) -> None:
    assert {layer.compute_dtype for layer in learnt.network.layers} == {"float32"}
    assert "augmentation" not in {layer.name for layer in learnt.network.layers}
    assert keras.mixed_precision.global_policy().name == "float32"


def test_every_epoch_prints_one_line_that_the_metric_definitions_match(learnt: Learnt) -> None:
    assert learnt.printed.splitlines() == [epoch.metric_line() for epoch in learnt.fitted.epochs]
    for definition in METRIC_DEFINITIONS:
        wanted = 0 if definition["Name"] == TEST_ACCURACY else len(learnt.fitted.epochs)
        assert len(re.findall(definition["Regex"], learnt.printed)) == wanted


def test_the_saved_functions_are_evaluated_on_test_with_calibrated_probabilities(
    learnt: Learnt,
) -> None:
    temperature = learn.calibrate(learnt.network, learnt.channels)
    assert temperature > 0
    servable = learn.Servable(learnt.network, temperature, 32)
    evaluation = learn.evaluate(servable, learnt.channels)
    assert learnt.channels.test is not None
    assert (evaluation.channel, evaluation.files) == ("test", learnt.channels.test.files)
    assert evaluation.accuracy == 1.0
    # Twelve scans of validation, all right: no more can be promised than 13 of 14.
    assert np.mean(evaluation.probabilities.max(axis=1)) == pytest.approx(13 / 14, abs=0.05)


def test_without_a_test_channel_val_is_evaluated_and_the_log_says_so(
    learnt: Learnt, caplog: pytest.LogCaptureFixture
) -> None:
    servable = learn.Servable(learnt.network, 1.0, 32)
    evaluation = learn.evaluate(servable, replace(learnt.channels, test=None))
    assert (evaluation.channel, len(evaluation.files)) == ("val", 12)
    (warning,) = [record for record in caplog.records if record.name == learn.__name__]
    assert "No test channel: figures are on val" in warning.getMessage()


def test_the_detector_is_fitted_on_train_and_its_figures_are_of_test(learnt: Learnt) -> None:
    detector = learn.fit_detector(learnt.network, learnt.channels, PARAMETERS)
    servable = learn.Servable(learnt.network, 1.0, 32, detector)
    figures = learn.evaluate_foreign(servable, detector.threshold, learnt.channels, PARAMETERS)
    assert figures.scans == 10
    # The scans are noise of a narrow range: not all drawn noise can be told from them.
    assert figures.false_alarms <= 0.1
    assert figures.auroc > 0.95
    without_test = replace(learnt.channels, test=None)
    assert learn.evaluate_foreign(servable, 0.0, without_test, PARAMETERS).scans == 12


def test_the_versions_name_what_a_model_depends_on() -> None:
    versions = learn.library_versions()
    assert set(versions) == {"brain_tumor", "python", "tensorflow", "keras", "numpy", "pillow"}
    assert all(re.match(r"\d+\.\d+", version) for version in versions.values())
