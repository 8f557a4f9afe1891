"""training.abstention: the threshold for `uncertain`, and accuracy by coverage."""

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.training.abstention import (
    accuracy_at_coverage,
    choose_threshold,
    most_confident_first,
    risk_coverage,
)

RIGHT = np.array([True, True, False, True, False])
SURE = np.array([0.9, 0.8, 0.7, 0.6, 0.5])


def _answers(confidence: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.column_stack([confidence, 1 - confidence]).astype(np.float32)


@pytest.mark.parametrize("count", [1, 4, 5, 10, 333])
def test_the_threshold_leaves_at_least_80_percent_of_validation_confident(count: int) -> None:
    confidence = np.random.default_rng(0).uniform(0.5, 1, count).astype(np.float32)
    threshold = choose_threshold(_answers(confidence))
    share = float((confidence >= threshold).mean())
    assert 0.8 <= share <= 0.8 + 1 / count + 1e-9
    assert np.float32(threshold) in confidence


def test_equally_sure_answers_are_all_confident() -> None:
    assert choose_threshold(_answers(np.full(7, 0.75))) == 0.75


def test_of_equally_sure_answers_the_wrong_ones_come_first() -> None:
    order = most_confident_first(np.array([True, False, True]), np.array([0.5, 0.5, 0.9]))
    np.testing.assert_array_equal(order, [2, 1, 0])


def test_risk_is_the_share_of_errors_among_the_most_confident() -> None:
    coverage, risk = risk_coverage(RIGHT[::-1], SURE[::-1])
    np.testing.assert_allclose(coverage, [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(risk, [0, 0, 1 / 3, 1 / 4, 2 / 5])


@pytest.mark.parametrize(
    ("coverage", "accuracy"),
    # By hand; at 0.5 two and a half scans are answered, right, right and half a wrong one.
    [(0.2, 1), (0.4, 1), (0.5, 2 / 2.5), (0.6, 2 / 3), (0.8, 3 / 4), (1.0, 3 / 5)],
)
def test_accuracy_at_a_coverage_is_that_of_the_most_confident(
    coverage: float, accuracy: float
) -> None:
    mixed = np.array([3, 0, 4, 2, 1])
    found = accuracy_at_coverage(RIGHT[mixed], SURE[mixed], coverage)
    assert found.tolist() == [pytest.approx(accuracy)]


def test_a_weight_counts_a_scan_as_often_as_it_says() -> None:
    weights = np.array([[2, 0, 1, 3, 0]])
    rows = np.repeat(np.arange(5), weights[0])
    for coverage in (0.3, 0.6, 0.8):
        weighted = accuracy_at_coverage(RIGHT, SURE, coverage, weights.astype(np.float64))
        repeated = accuracy_at_coverage(RIGHT[rows], SURE[rows], coverage)
        np.testing.assert_allclose(weighted, repeated)
