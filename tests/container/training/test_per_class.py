"""training.per_class: each class against the rest, and any tumour against none."""

import numpy as np
import pytest
from sklearn import metrics

from brain_tumor.training.bootstrap import once_each
from brain_tumor.training.figures import compute_figures
from brain_tumor.training.per_class import (
    confusion_shares,
    no_tumour_class,
    predictive_value,
    tumour_figures,
)
from tests.evaluations import drawn_evaluation, evaluation_of

# Right: glioma 3 of 4 (one as meningioma), meningioma 3 of 3, notumor 2 of 3 (one as glioma).
TEN = evaluation_of([0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1, 1, 2, 2, 0])


def test_sensitivity_specificity_precision_and_f1_are_those_counted_by_hand() -> None:
    classes = compute_figures(TEN).classes
    glioma, meningioma, notumor = (classes[name] for name in TEN.class_names)
    assert glioma.sensitivity is not None
    assert glioma.specificity is not None
    assert glioma.sensitivity.value == pytest.approx(3 / 4)
    assert glioma.specificity.value == pytest.approx(5 / 6)
    assert (glioma.precision, glioma.f1) == pytest.approx((3 / 4, 3 / 4))
    assert meningioma.specificity is not None
    assert meningioma.specificity.value == pytest.approx(6 / 7)
    assert (meningioma.precision, meningioma.f1) == pytest.approx((3 / 4, 6 / 7))
    assert notumor.specificity is not None
    assert notumor.specificity.value == 1
    assert [figures.scans for figures in classes.values()] == [4, 3, 3]


def test_the_vectorised_shares_agree_with_scikit_learn_under_random_weights() -> None:
    evaluation = drawn_evaluation(80)
    weights = np.random.default_rng(1).integers(0, 4, (5, 80)).astype(np.float64)
    shares = confusion_shares(evaluation, weights)
    for row, weight in enumerate(weights):
        truth = evaluation.labels, evaluation.predicted
        accuracy = metrics.accuracy_score(*truth, sample_weight=weight)
        _, recall, f1, _ = metrics.precision_recall_fscore_support(*truth, sample_weight=weight)
        assert shares.accuracy[row] == pytest.approx(accuracy)
        np.testing.assert_allclose(shares.sensitivity[row], recall)
        np.testing.assert_allclose(shares.f1[row], f1)
        for number in range(3):
            spared = metrics.recall_score(
                evaluation.labels != number, evaluation.predicted != number, sample_weight=weight
            )
            assert shares.specificity[row, number] == pytest.approx(spared)


def test_a_class_that_a_resample_lacks_has_no_share_there() -> None:
    weights = np.ones((1, 10))
    weights[:, :4] = 0
    shares = confusion_shares(TEN, weights)
    assert np.isnan(shares.sensitivity[0, 0])
    np.testing.assert_allclose(shares.sensitivity[0, 1:], [1, 2 / 3])
    assert not np.isnan(confusion_shares(TEN, once_each(10)).sensitivity).any()


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "prevalence", "value"),
    [
        # Of 10,000 people 100 have it: 90 found, and 990 of the others alarmed.
        (0.9, 0.9, 0.01, 90 / (90 + 990)),
        (0.9, 0.9, 0.30, 2700 / (2700 + 700)),
        (1.0, 1.0, 0.01, 1.0),
        (0.0, 0.5, 0.30, 0.0),
    ],
)
def test_the_predictive_value_is_that_of_ten_thousand_people(
    sensitivity: float, specificity: float, prevalence: float, value: float
) -> None:
    assert predictive_value(sensitivity, specificity, prevalence) == pytest.approx(value)


def test_without_a_positive_answer_there_is_no_predictive_value() -> None:
    assert predictive_value(0.0, 1.0, 0.3) is None


def test_a_class_that_is_never_answered_has_no_predictive_values() -> None:
    meningioma = compute_figures(evaluation_of([0, 1, 2], [0, 0, 0])).classes["meningioma"]
    assert [(v.value, v.pessimistic) for v in meningioma.predictive_values] == [(None, None)] * 2


def test_predictive_values_are_given_at_1_and_30_percent_with_a_pessimistic_twin() -> None:
    glioma = compute_figures(TEN).classes["glioma"]
    rare, frequent = glioma.predictive_values
    assert (rare.prevalence, frequent.prevalence) == (0.01, 0.30)
    assert rare.value == pytest.approx(0.75 * 0.01 / (0.75 * 0.01 + (1 / 6) * 0.99))
    assert rare.pessimistic is not None
    assert rare.value is not None
    assert rare.pessimistic < rare.value


@pytest.mark.parametrize(
    ("names", "number"),
    [
        (["glioma", "notumor"], 1),
        (["no_tumor", "tumor"], 0),
        (["a", "No Tumour", "b"], 1),
        (["glioma", "pituitary"], None),
    ],
)
def test_the_class_without_a_tumour_is_known_by_its_name(
    names: list[str], number: int | None
) -> None:
    assert no_tumour_class(names) == number


def test_the_sensitivity_for_any_tumour_is_that_at_a_specificity_of_90_percent() -> None:
    # Ten without a tumour score 0.05 to 0.95 for one: at 0.90 one of them may be called a tumour.
    healthy = np.linspace(0.05, 0.95, 10)
    tumour = np.array([0.2, 0.86, 0.9, 0.99])
    score = np.concatenate([healthy, tumour])
    evaluation = evaluation_of(
        [1] * 10 + [0] * 4,
        [0] * 14,
        class_names=["tumor", "notumor"],
        probabilities=np.column_stack([score, 1 - score]).astype(np.float32),
    )
    figures = tumour_figures(evaluation)
    assert figures is not None
    assert figures.no_tumour_class == "notumor"
    assert figures.sensitivity == pytest.approx(3 / 4)
    # Pairs in the right order: 2 + 9 + 9 + 10 of 40.
    assert figures.roc_auc == pytest.approx(30 / 40)


def test_without_scans_of_both_kinds_there_are_no_figures_of_any_tumour() -> None:
    assert tumour_figures(evaluation_of([2, 2], [2, 0])) is None
    assert tumour_figures(evaluation_of([0, 1], [0, 1])) is None
    assert tumour_figures(evaluation_of([0, 1], [0, 1], class_names=["a", "b", "c"])) is None
