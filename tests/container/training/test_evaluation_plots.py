"""training.evaluation_plots: pictures of an evaluation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.training.bootstrap import Estimate
from brain_tumor.training.evaluation import Evaluation
from brain_tumor.training.evaluation_plots import (
    draw_reliability,
    draw_risk_coverage,
    draw_robustness,
    draw_roc_curves,
)
from brain_tumor.training.plots import confusion_title, draw_confusion_matrix
from brain_tumor.training.robustness import Condition, Robustness
from tests.evaluations import drawn_evaluation, evaluation_of, mask

DRAWINGS = [draw_reliability, draw_risk_coverage, draw_roc_curves, draw_confusion_matrix]


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("draw", DRAWINGS)
@pytest.mark.parametrize(
    "evaluation",
    [
        drawn_evaluation(60),
        evaluation_of([0, 1, 2], [0, 1, 2]),
        evaluation_of([0, 1], [1, 0], sure=1.0),
        evaluation_of([0], [0]),
    ],
    ids=["middling", "perfect", "all wrong and certain", "single scan"],
)
def test_every_picture_can_be_drawn(
    draw: Callable[[Evaluation, Path], None], evaluation: Evaluation, tmp_path: Path
) -> None:
    draw(evaluation, tmp_path / "picture.png")
    pixels = _pixels(tmp_path / "picture.png")
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


@pytest.mark.parametrize("draw", DRAWINGS)
def test_other_answers_give_another_picture(
    draw: Callable[[Evaluation, Path], None], tmp_path: Path
) -> None:
    for seed in (0, 1):
        draw(drawn_evaluation(40, seed=seed), tmp_path / f"{seed}.png")
    first, second = (_pixels(tmp_path / f"{seed}.png") for seed in (0, 1))
    assert first.shape != second.shape or (first != second).any()


def test_the_threshold_is_marked_in_the_risk_coverage_curve(tmp_path: Path) -> None:
    draw_risk_coverage(drawn_evaluation(60, threshold=0.6), tmp_path / "picture.png")
    red = (np.abs(_pixels(tmp_path / "picture.png").astype(int) - (214, 39, 40)) < 5).all(axis=2)
    assert red.sum() > 100


def test_the_corner_of_the_roc_curves_is_enlarged_for_good_models_only(tmp_path: Path) -> None:
    draw_roc_curves(evaluation_of([0, 1, 2], [0, 1, 2]), tmp_path / "good.png")
    draw_roc_curves(evaluation_of([0, 1, 2], [1, 2, 0]), tmp_path / "poor.png")
    good, poor = (_pixels(tmp_path / f"{name}.png").shape[1] for name in ("good", "poor"))
    assert good > 1.5 * poor


def test_every_condition_gets_a_bar_in_the_colour_of_its_kind(tmp_path: Path) -> None:
    conditions = [
        Condition(kind, f"{kind} {accuracy}", accuracy, Estimate(0.0, None, None))
        for kind in ("corruption", "pose", "shortcut")
        for accuracy in (0.0, 1.0)
    ]
    draw_robustness(Robustness(50, 0.9, 0.3, conditions), tmp_path / "all.png")
    draw_robustness(Robustness(50, 0.9, 0.3, conditions[:1]), tmp_path / "one.png")
    for colour in ((31, 119, 180), (44, 160, 44), (255, 127, 14)):
        found = (np.abs(_pixels(tmp_path / "all.png").astype(int) - colour) < 5).all(axis=2)
        assert found.sum() > 1000
    assert _pixels(tmp_path / "one.png").shape[0] < _pixels(tmp_path / "all.png").shape[0]


def test_a_leak_stands_in_the_title_of_the_confusion_matrix() -> None:
    clean = evaluation_of([0, 1, 2, 0], [0, 1, 2, 1])
    assert confusion_title(clean) == "test: 75.0 % of 4 scans right"
    leaky = evaluation_of([0, 1, 2, 0], [0, 1, 2, 1], leaks=mask(4, 0), resembles=mask(4, 0, 1))
    assert confusion_title(leaky) == (
        "test: 75.0 % of 4 scans right (LEAK);\n50.0 % of the 2 that nothing in training resembles"
    )
    every = np.ones(4, np.bool_)
    all_leak = evaluation_of([0, 1, 2, 0], [0, 1, 2, 1], leaks=every, resembles=every)
    assert confusion_title(all_leak).endswith("\nall like scans of training (LEAK)")
