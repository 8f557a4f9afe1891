"""training.robustness: accuracy under changed scans, and the shortcut audit."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.scoring import PredictFn
from brain_tumor.training.corruptions import BLANKED, CORRUPTIONS, POSES
from brain_tumor.training.robustness import (
    MOST_SCANS,
    Condition,
    Robustness,
    measure_robustness,
    stratified_rows,
)
from tests.evaluations import evaluation_of, mask

BRIGHT, DARK = 1, 0


def _by_middle(scans: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answer by the brightness of the middle: what a model shall do."""
    bright = scans[:, 12:-12, 12:-12].mean(axis=(1, 2)) > 100
    return np.column_stack([~bright, bright]).astype(np.float32)


def _by_border(scans: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Answer by the brightness of the outermost pixels: what a shortcut is."""
    bright = scans[:, 0].mean(axis=1) > 100
    return np.column_stack([~bright, bright]).astype(np.float32)


def _measured(predict: PredictFn, **changes: Any) -> tuple[Robustness, dict[str, Condition]]:
    labels = [DARK] * 30 + [BRIGHT] * 10
    pixels = np.repeat(np.array([60, 150], np.uint8), [30, 10])[:, None, None]
    evaluation = evaluation_of(
        labels,
        labels,
        class_names=["dark", "bright"],
        pixels=StoredPixels.of(np.broadcast_to(pixels, (40, 32, 32))),
        **changes,
    )
    found = measure_robustness(predict, evaluation, lambda: False)
    return found, {condition.name: condition for condition in found.conditions}


def test_every_condition_is_measured_on_the_same_scans() -> None:
    found, by_name = _measured(_by_middle)
    assert set(by_name) == {*CORRUPTIONS, *POSES, *BLANKED}
    assert (found.scans, found.clean_accuracy, found.majority_share) == (40, 1.0, 0.75)
    assert found.skipped is None
    assert by_name["noise, 15 grey levels"].accuracy == 1.0
    # 60 + 40 is not above 100, but 150 - 40 still is.
    assert by_name["brighter by 40"].accuracy == by_name["darker by 40"].accuracy == 1.0


def test_a_model_that_looks_at_the_brain_falls_to_the_largest_class_without_it() -> None:
    _, by_name = _measured(_by_middle)
    assert by_name["border blanked (outer 8 px)"].accuracy == 1.0
    for name in ("only the border left (outer 8 px)", "centre blanked (all but the outer 28 px)"):
        assert by_name[name].accuracy == 0.75
        assert by_name[name].difference.value == pytest.approx(-0.25)
        interval = by_name[name].difference.confidence_interval
        assert interval is not None
        assert interval.lower < -0.25 < interval.upper < 0


def test_a_model_that_looks_at_the_border_is_found_out() -> None:
    _, by_name = _measured(_by_border)
    assert by_name["border blanked (outer 8 px)"].accuracy == 0.75
    assert by_name["only the border left (outer 8 px)"].accuracy == 1.0


def test_only_scans_that_nothing_in_training_resembles_are_used() -> None:
    found, _ = _measured(_by_middle, leaks=mask(40, *range(20)), resembles=mask(40, *range(25)))
    assert found.scans == 15


@pytest.mark.parametrize("allowed", [0, 3])
def test_a_job_that_is_asked_to_stop_keeps_what_was_measured_and_says_why(
    allowed: int, caplog: pytest.LogCaptureFixture
) -> None:
    evaluation = evaluation_of([0, 1], [0, 1], class_names=["dark", "bright"])
    asked = iter([False] * allowed + [True] * 100)
    found = measure_robustness(_by_middle, evaluation, lambda: next(asked))
    assert len(found.conditions) == allowed
    assert found.skipped is not None
    assert "asked to stop" in found.skipped
    assert f"{allowed} conditions measured" in caplog.text


def test_at_most_500_scans_are_chosen_each_class_in_its_share_and_always_the_same() -> None:
    labels = np.repeat(np.array([0, 1, 2], np.int32), [1200, 600, 12])
    rows = stratified_rows(labels, MOST_SCANS)
    assert len(rows) == len(set(rows.tolist())) == MOST_SCANS
    counts = np.bincount(labels[rows])
    np.testing.assert_allclose(counts, 500 * np.array([1200, 600, 12]) / 1812, atol=2)
    np.testing.assert_array_equal(rows, stratified_rows(labels, MOST_SCANS))
    # Not the first ones of each class.
    assert rows.max() > 1790
    assert np.diff(rows).min() > 0


def test_fewer_scans_are_all_chosen() -> None:
    labels = np.array([1, 0, 0], np.int32)
    np.testing.assert_array_equal(stratified_rows(labels, 500), [0, 1, 2])
