"""training.calibration: temperature scaling, and the calibration error."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve

from brain_tumor.training.calibration import CALIBRATION_BINS, calibration_error, fit_temperature


def _drawn(count: int, classes: int = 4) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Draw logits, and labels as often as softmax of the logits says."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (count, classes)).astype(np.float32)
    chances = softmax(logits, axis=1).cumsum(axis=1)
    labels = (random.random((count, 1)) > chances).sum(axis=1).clip(max=classes - 1)
    return logits, labels.astype(np.int32)


@pytest.mark.parametrize("temperature", [0.25, 0.7, 1.0, 1.8, 6.0])
def test_the_temperature_that_logits_were_made_with_is_found(temperature: float) -> None:
    logits, labels = _drawn(5000)
    found = fit_temperature(logits * np.float32(temperature), labels)
    assert found == pytest.approx(temperature, rel=0.05)


def test_overconfident_logits_have_a_lower_log_loss_afterwards() -> None:
    logits, labels = _drawn(2000)
    overconfident = logits * 5
    rows = np.arange(len(labels))

    def log_loss(temperature: float) -> float:
        return float(-log_softmax(overconfident / temperature, axis=1)[rows, labels].mean())

    assert log_loss(fit_temperature(overconfident, labels)) < log_loss(1.0) - 0.1


def test_the_most_probable_class_never_changes() -> None:
    logits, labels = _drawn(50)
    scaled = logits / fit_temperature(logits, labels)
    np.testing.assert_array_equal(scaled.argmax(axis=1), logits.argmax(axis=1))


@pytest.mark.parametrize("count", [2, 10, 50])
@pytest.mark.parametrize("margin", [3.0, 30.0])
def test_a_few_scans_that_are_all_right_do_not_make_answers_certain(
    count: int, margin: float
) -> None:
    labels = np.arange(count, dtype=np.int32) % 4
    logits = (margin * np.eye(4, dtype=np.float32))[labels]
    sure = softmax(logits / fit_temperature(logits, labels), axis=1).max()
    assert sure == pytest.approx(1 - 1 / (count + 2), abs=0.01)


def test_scans_that_are_all_wrong_make_answers_unsure() -> None:
    labels = np.zeros(20, np.int32)
    logits = np.tile(np.array([0, 9, 0], np.float32), (20, 1))
    assert softmax(logits[0] / fit_temperature(logits, labels)).max() < 0.5


def test_the_calibration_error_of_four_scans_is_that_counted_by_hand() -> None:
    confidence = np.array([0.95, 0.99, 0.55, 0.70])
    correct = np.array([True, False, True, False])
    # Bins of 1/15: 0.95 and 0.99 share the last one (gap |1.94 - 1|), the others are alone.
    by_hand = (0.94 + 0.45 + 0.70) / 4
    assert calibration_error(correct, confidence).tolist() == [pytest.approx(by_hand)]


def test_the_bins_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    # Borders of bins and certainty among them.
    confidence = np.concatenate([random.random(300), np.linspace(0, 1, CALIBRATION_BINS + 1)])
    correct = random.random(len(confidence)) < confidence**2
    true, claimed = calibration_curve(correct, confidence, n_bins=CALIBRATION_BINS)
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], confidence))
    wanted = (counts[counts > 0] * np.abs(true - claimed)).sum() / len(confidence)
    assert calibration_error(correct, confidence)[0] == pytest.approx(wanted)


def test_answers_that_are_as_often_right_as_they_claim_have_hardly_any_error() -> None:
    random = np.random.default_rng(0)
    confidence = random.random(100_000)
    assert calibration_error(random.random(100_000) < confidence, confidence)[0] < 0.01


def test_a_weight_counts_a_scan_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    confidence, correct = random.random(30), random.random(30) < 0.5
    weights = random.integers(0, 4, (2, 30))
    for row in weights:
        repeated = calibration_error(np.repeat(correct, row), np.repeat(confidence, row))
        np.testing.assert_allclose(
            calibration_error(correct, confidence, row[np.newaxis].astype(np.float64)), repeated
        )
