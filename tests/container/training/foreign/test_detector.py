"""training.foreign.detector: fitted on a network trained on phantoms for a few seconds."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor import artifact, images, scoring
from brain_tumor.training.export import Servable
from brain_tumor.training.foreign.bank import DRAWN, SPOILT, UNSEEN, draw_bank
from brain_tumor.training.foreign.detector import Detector, fit_detector
from brain_tumor.training.foreign.figures import foreign_figures
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_network
from tests.classifiers import model_info
from tests.scans import noise

SIZE = 64
NAMES = ["glioma", "meningioma", "notumor", "pituitary"]


@dataclass(frozen=True)
class Fitted:
    """A detector, what it was fitted on and what it has not seen."""

    network: keras.Model
    detector: Detector
    servable: Servable
    train: NDArray[np.uint8]
    val: NDArray[np.uint8]
    test: NDArray[np.uint8]

    def scores(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Score as it is served."""
        return scoring.as_scores(self.servable.serving_scores)(pixels).foreign


@pytest.fixture(scope="module")
def fitted(phantoms: Path) -> Fitted:
    """Train on 24 phantoms, choose the threshold on 8, keep 16."""
    with zipfile.ZipFile(phantoms) as archive:
        files = sorted(archive.namelist(), key=lambda name: (name[-8:-4], name))
        scans = [images.resize(images.decode(archive.read(file)), SIZE) for file in files]
        labels = [NAMES.index(file.split("/")[1]) for file in files]
    pixels = np.stack(scans)
    keras.utils.set_random_seed(0)
    network = build_network(Hyperparameters(image_size=SIZE, augment=False), len(NAMES))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss)
    network.fit(pixels[:24, ..., np.newaxis], np.array(labels[:24]), 8, 2, verbose=0)
    train, val, test = pixels[:24], pixels[24:32], pixels[32:]
    detector = fit_detector(network, train, val, seed=0)
    servable = Servable(network, 1.0, SIZE, detector)
    return Fitted(network, detector, servable, train, val, test)


def test_scans_are_accepted_and_most_of_each_kind_of_foreign_picture_is_refused(
    fitted: Fitted,
) -> None:
    assert (fitted.scores(fitted.test) <= fitted.detector.threshold).all()
    figures = foreign_figures(
        scoring.as_scores(fitted.servable.serving_scores),
        fitted.detector.threshold,
        fitted.test,
        seed=9,
    )
    assert (figures.scans, figures.pictures) == (16, 6 * len([*DRAWN, *SPOILT]))
    assert figures.false_alarms == 0
    assert figures.false_alarms_at_95 <= 0.08
    assert figures.auroc >= 0.98
    assert set(UNSEEN) < set(figures.refused)
    refused = [figures.refused[kind] for kind in ("noise", "text", "uniform", *UNSEEN)]
    assert min(refused) >= 0.8, figures.refused


def test_plain_noise_black_white_and_a_checkerboard_are_refused(fitted: Fitted) -> None:
    pictures = np.zeros((4, SIZE, SIZE), np.uint8)
    pictures[0] = noise(0)[:SIZE, :SIZE]
    pictures[1] = 255
    pictures[2] = np.kron(np.indices((8, 8)).sum(axis=0) % 2, np.ones((8, 8))) * 255
    scores = fitted.scores(pictures)
    assert (scores > fitted.detector.threshold).all(), scores


def test_the_figures_are_those_of_the_scores_they_are_made_of() -> None:
    def scores(pixels: NDArray[np.uint8]) -> scoring.Scores:
        brightness = pixels.mean(axis=(1, 2)).astype(np.float32)
        return scoring.Scores(np.ones((len(pixels), 1), np.float32), brightness)

    scans = np.zeros((40, 32, 32), np.uint8)
    scans[:10] = 255
    figures = foreign_figures(scores, 254.0, scans, seed=4)
    bank = draw_bank([*DRAWN, *SPOILT], 6, 32, 4, scans)
    brightness = bank.pixels.mean(axis=(1, 2))
    assert figures.false_alarms == 0.25
    # Darker than all but nothing, and brighter than all: by hand.
    below = np.mean(brightness > 0) + np.mean(brightness == 0) / 2
    above = np.mean(brightness == 255) / 2
    assert figures.auroc == pytest.approx(0.75 * below + 0.25 * above, abs=1e-6)
    assert figures.refused["text"] == np.mean(brightness[np.array(bank.kinds) == "text"] > 254)


def test_fitting_again_with_the_same_seed_gives_the_same_scores(fitted: Fitted) -> None:
    again = fit_detector(fitted.network, fitted.train, fitted.val, seed=0)
    servable = Servable(fitted.network, 1.0, SIZE, again)
    scores = scoring.as_scores(servable.serving_scores)(fitted.test).foreign
    np.testing.assert_allclose(scores, fitted.scores(fitted.test), atol=1e-2)
    assert again.threshold == pytest.approx(fitted.detector.threshold, abs=1e-2)


def test_the_saved_model_scores_as_before_and_keeps_its_two_other_signatures(
    fitted: Fitted, tmp_path: Path
) -> None:
    info = model_info(class_names=NAMES, image_size=SIZE)
    artifact.save(tmp_path, fitted.servable, info)
    loaded = artifact.load_scores(tmp_path)(fitted.test)
    before = scoring.as_scores(fitted.servable.serving_scores)(fitted.test)
    np.testing.assert_allclose(loaded.foreign, before.foreign, atol=1e-3)
    np.testing.assert_allclose(loaded.probabilities, before.probabilities, atol=1e-5)
    plain = artifact.load_predict(tmp_path)(fitted.test)
    np.testing.assert_allclose(plain, before.probabilities, atol=1e-5)


def test_a_model_without_a_detector_is_served_and_finds_nothing_foreign(
    fitted: Fitted, tmp_path: Path
) -> None:
    older = Servable(fitted.network, 1.0, SIZE)
    artifact.save(tmp_path, older, model_info(class_names=NAMES, image_size=SIZE))
    scores = artifact.load_scores(tmp_path)(fitted.test)
    assert (scores.foreign == -np.inf).all()
    np.testing.assert_array_equal(
        scores.probabilities, artifact.load_predict(tmp_path)(fitted.test)
    )


def test_a_handful_of_scans_is_enough_to_fit_on(fitted: Fitted) -> None:
    detector = fit_detector(fitted.network, fitted.train[:3], fitted.val[:1], seed=0)
    assert np.isfinite(detector.threshold)
