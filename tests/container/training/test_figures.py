"""training.figures: all figures of one set of scans."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from brain_tumor.training.figures import compute_figures
from tests.evaluations import drawn_evaluation, evaluation_of


def test_the_figures_are_scikit_learns_where_it_has_them() -> None:
    evaluation = drawn_evaluation(200)
    figures = compute_figures(evaluation)
    labels, probabilities = evaluation.labels, evaluation.probabilities
    assert figures.balanced_accuracy.value == pytest.approx(
        metrics.balanced_accuracy_score(labels, evaluation.predicted)
    )
    assert figures.macro_roc_auc == pytest.approx(
        metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    )
    assert figures.macro_f1.value == pytest.approx(
        metrics.f1_score(labels, evaluation.predicted, average="macro")
    )
    assert (figures.scans, figures.groups) == (200, 200)


def test_brier_score_and_log_loss_are_those_of_the_formula() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], np.float32)
    figures = compute_figures(evaluation_of([0, 2], [0, 1], probabilities=probabilities))
    by_hand = (0.3**2 + 0.2**2 + 0.1**2 + 0.1**2 + 0.6**2 + 0.7**2) / 2
    assert figures.brier == pytest.approx(by_hand, abs=1e-6)
    assert figures.log_loss == pytest.approx(-(math.log(0.7) + math.log(0.3)) / 2, abs=1e-6)


def test_two_classes_have_the_same_kind_of_brier_score() -> None:
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6]], np.float32)
    figures = compute_figures(
        evaluation_of([0, 0], [0, 1], class_names=["a", "b"], probabilities=probabilities)
    )
    assert figures.brier == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2, abs=1e-6)


def test_every_interval_holds_its_figure_and_ends_within_0_and_1() -> None:
    figures = compute_figures(drawn_evaluation(300, seed=4))
    of_classes = [
        estimate
        for of_class in figures.classes.values()
        for estimate in (of_class.sensitivity, of_class.specificity)
    ]
    for estimate in (
        figures.accuracy,
        figures.balanced_accuracy,
        figures.macro_f1,
        figures.accuracy_at_80,
        *of_classes,
    ):
        assert estimate is not None
        interval = estimate.confidence_interval
        assert interval is not None
        assert 0 <= interval.lower < estimate.value < interval.upper <= 1
    assert figures.ece.confidence_interval is not None


def test_alike_scans_make_the_intervals_wider() -> None:
    evaluation = drawn_evaluation(60)
    ten_of_each = evaluation.rows(np.repeat(np.arange(60), 10))
    as_single = replace(ten_of_each, groups=np.arange(600, dtype=np.int32))
    together, single = (
        compute_figures(each).macro_f1.standard_deviation for each in (ten_of_each, as_single)
    )
    assert together is not None
    assert single is not None
    assert together == pytest.approx(math.sqrt(10) * single, rel=0.2)


def test_the_share_of_confident_answers_and_their_accuracy_follow_the_threshold() -> None:
    sure = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    probabilities = np.column_stack([sure, 1 - sure, np.zeros(4)]).astype(np.float32)
    evaluation = evaluation_of([0, 0, 1, 1], [0] * 4, probabilities=probabilities, threshold=0.65)
    figures = compute_figures(evaluation)
    assert figures.confident_share == pytest.approx(0.75)
    assert figures.confident_accuracy == pytest.approx(2 / 3)
    assert figures.aurc == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    unsure = compute_figures(replace(evaluation, threshold=0.95))
    assert (unsure.confident_share, unsure.confident_accuracy) == (0, None)


def test_all_right_is_not_reported_as_certain() -> None:
    figures = compute_figures(evaluation_of([0, 1, 2] * 4, [0, 1, 2] * 4))
    for estimate, groups in ((figures.accuracy, 12), (figures.macro_f1, 4)):
        interval = estimate.confidence_interval
        assert estimate.value == 1
        assert interval is not None
        assert interval.lower == pytest.approx(0.025 ** (1 / groups))
        assert interval.upper == 1


def test_a_class_without_scans_has_no_figures_instead_of_made_up_ones() -> None:
    figures = compute_figures(evaluation_of([0, 0, 1], [0, 2, 1]))
    missing = figures.classes["notumor"]
    assert (missing.scans, missing.sensitivity, missing.roc_auc) == (0, None, None)
    assert missing.specificity is not None
    assert missing.specificity.value == pytest.approx(2 / 3)
    assert [value.value for value in missing.predictive_values] == [None, None]
    assert figures.balanced_accuracy.value == pytest.approx(3 / 4)
    assert figures.worst_sensitivity == ("glioma", 0.5)


@pytest.mark.parametrize("answer", [0, 1])
def test_a_single_scan_has_figures_too(answer: int) -> None:
    figures = compute_figures(evaluation_of([0], [answer]))
    assert figures.accuracy.value == float(answer == 0)
    assert figures.accuracy.confidence_interval is not None
    assert figures.macro_roc_auc is None
    assert figures.tumour is None
    assert figures.ece.confidence_interval is None


def test_scans_of_one_group_have_no_interval() -> None:
    figures = compute_figures(evaluation_of([0, 0, 1], [0, 1, 1], groups=np.zeros(3, np.int32)))
    assert figures.groups == 1
    assert figures.accuracy.confidence_interval is None


def test_all_wrong_is_reported_without_a_division_by_zero() -> None:
    figures = compute_figures(evaluation_of([0, 1, 2], [1, 2, 0]))
    assert figures.accuracy.value == figures.macro_f1.value == 0
    assert figures.classes["glioma"].precision == 0
