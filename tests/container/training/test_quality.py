"""training.quality: the content of evaluation.json."""

import json
from dataclasses import asdict

import pytest

from brain_tumor.training.bootstrap import RESAMPLES
from brain_tumor.training.evaluation import ALL, NEW_PICTURES, NOTHING_ALIKE
from brain_tumor.training.quality import model_quality
from tests.evaluations import FOREIGN, drawn_evaluation, evaluation_of, findings_of, mask

# Eight of ten right: a 3 of 4, b 3 of 3, c 2 of 3.
TEN = evaluation_of(
    [0, 0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1, 1, 2, 2, 0], class_names=["a", "b", "c"]
)


def test_the_figures_are_in_sagemakers_model_quality_form() -> None:
    quality = model_quality(findings_of(TEN))
    figures = quality["multiclass_classification_metrics"]
    assert quality["dataset"] == {"item_count": 10, "channel": "test"}
    assert figures["confusion_matrix"]["a"] == {"a": 3, "b": 1, "c": 0}
    assert figures["accuracy"]["value"] == pytest.approx(0.8)
    assert figures["accuracy_best_constant_classifier"]["value"] == pytest.approx(0.4)
    # By hand: precision a 3/4, b 3/4, c 1; recall a 3/4, b 1, c 2/3; weights 4, 3, 3.
    assert figures["weighted_precision"]["value"] == pytest.approx(0.825)
    assert figures["weighted_recall"]["value"] == pytest.approx(0.8)
    f1 = {"a": 3 / 4, "b": 6 / 7, "c": 4 / 5}
    assert figures["macro_f1"]["value"] == pytest.approx(sum(f1.values()) / 3)
    weighted = (4 * f1["a"] + 3 * f1["b"] + 3 * f1["c"]) / 10
    assert figures["weighted_f1"]["value"] == pytest.approx(weighted)
    recalls = {name: share["value"] for name, share in figures["recall"].items()}
    assert recalls == pytest.approx({"a": 0.75, "b": 1.0, "c": 2 / 3})


def test_shares_have_an_interval_and_the_file_says_how_it_was_made() -> None:
    quality = model_quality(findings_of(TEN))
    accuracy = quality["multiclass_classification_metrics"]["accuracy"]
    assert set(accuracy) == {"value", "standard_deviation", "confidence_interval"}
    assert accuracy["confidence_interval"]["level"] == 0.95
    assert accuracy["confidence_interval"]["lower"] < 0.8
    assert quality["intervals"]["resamples"] == RESAMPLES
    assert quality["intervals"]["groups"] == 10
    assert "near-duplicate groups" in quality["intervals"]["method"]


def test_a_class_without_scans_has_no_recall() -> None:
    quality = model_quality(findings_of(evaluation_of([0, 0], [0, 1])))
    assert set(quality["multiclass_classification_metrics"]["recall"]) == {"glioma"}


def test_all_of_it_is_json_without_nan_in_the_degenerate_cases_too() -> None:
    for evaluation in (
        evaluation_of([0], [0]),
        evaluation_of([0], [1]),
        evaluation_of([0, 1, 2], [0, 1, 2], leaks=mask(3, 0, 1, 2), resembles=mask(3, 0, 1, 2)),
        drawn_evaluation(30),
    ):
        quality = model_quality(findings_of(evaluation))
        assert json.loads(json.dumps(quality, allow_nan=False)) == quality


def test_leak_free_and_leaky_figures_stand_side_by_side() -> None:
    leaky = evaluation_of([0, 1, 2, 0], [0, 1, 2, 1], leaks=mask(4, 0), resembles=mask(4, 0, 1))
    quality = model_quality(findings_of(leaky))
    assert quality["leak"] == {"known": True, "picture_in_training": 1, "alike_in_training": 2}
    accuracies = {name: part["accuracy"]["value"] for name, part in quality["figures"].items()}
    assert accuracies == pytest.approx({ALL: 3 / 4, NEW_PICTURES: 2 / 3, NOTHING_ALIKE: 1 / 2})
    assert quality["multiclass_classification_metrics"]["accuracy"]["value"] == 0.75
    headline = quality["headline"]
    assert (headline["measured_on"], headline["scans"]) == (NOTHING_ALIKE, 2)
    assert headline["accuracy"] == quality["figures"][NOTHING_ALIKE]["accuracy"]


def test_an_unknown_leak_is_said_to_be_unknown() -> None:
    quality = model_quality(findings_of(TEN))
    assert quality["leak"] == {
        "known": False,
        "picture_in_training": None,
        "alike_in_training": None,
    }
    assert list(quality["figures"]) == [ALL]
    assert quality["headline"]["measured_on"] == ALL


def test_calibration_abstention_and_foreign_pictures_are_there() -> None:
    evaluation = drawn_evaluation(60, threshold=0.6)
    findings = findings_of(evaluation, info={"temperature": 0.7}, foreign=FOREIGN)
    quality = model_quality(findings)
    assert quality["calibration"]["temperature"] == 0.7
    assert quality["calibration"]["ece"] == findings.headline.ece.value
    abstention = quality["abstention"]
    below = float((evaluation.confidence < 0.6).mean())
    assert (abstention["threshold"], abstention["uncertain_share"]) == (0.6, pytest.approx(below))
    assert quality["foreign_pictures"] == asdict(FOREIGN)
    assert model_quality(findings_of(evaluation))["foreign_pictures"] is None
