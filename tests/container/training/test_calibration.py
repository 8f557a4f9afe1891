"""training.calibration: temperature scaling."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from brain_tumor.training.calibration import fit_temperature


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
