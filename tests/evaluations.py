"""Evaluations for tests: made of labels and answers, without a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.training.evaluation import Evaluation, ForeignFigures
from brain_tumor.training.quality import Findings, find
from brain_tumor.training.robustness import Robustness
from tests.classifiers import model_info

NAMES = ("glioma", "meningioma", "notumor")
FOREIGN = ForeignFigures(
    pictures=200,
    scans=90,
    auroc=0.9914,
    false_alarms_at_95=0.0123,
    false_alarms=0.0044,
    refused={"photograph": 0.975, "text": 1.0},
)


def evaluation_of(
    labels: Sequence[int], predicted: Sequence[int], sure: float = 0.8, **changes: Any
) -> Evaluation:
    """Give an evaluation whose answers all have the probability `sure`."""
    count, classes = len(labels), len(changes.get("class_names", NAMES))
    probabilities = np.full((count, classes), (1 - sure) / (classes - 1), np.float32)
    probabilities[np.arange(count), list(predicted)] = sure
    content: dict[str, Any] = {
        "class_names": NAMES,
        "files": [f"{number}.png" for number in range(count)],
        "pixels": StoredPixels.of(np.zeros((count, 32, 32), np.uint8)),
        "labels": np.array(labels, np.int32),
        "probabilities": probabilities,
        "groups": np.arange(count, dtype=np.int32),
        "channel": "test",
    }
    return Evaluation(**{**content, **changes})


def drawn_evaluation(count: int, seed: int = 0, **changes: Any) -> Evaluation:
    """Give an evaluation of a middling model on `count` scans of noise."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(NAMES), count)
    logits = random.normal(0, 1, (count, len(NAMES)))
    logits[np.arange(count), labels] += 1.5
    odds = np.exp(logits)
    content: dict[str, Any] = {
        "probabilities": (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32),
        "pixels": StoredPixels.of(random.integers(0, 256, (count, 32, 32), dtype=np.uint8)),
    }
    return evaluation_of(labels.tolist(), labels.tolist(), **{**content, **changes})


def mask(count: int, *rows: int) -> NDArray[np.bool_]:
    """Give (count,) booleans that are true at these rows."""
    return np.isin(np.arange(count), rows)


def findings_of(evaluation: Evaluation, **changes: Any) -> Findings:
    """Give findings without robustness or foreign pictures, unless told otherwise."""
    info = model_info(class_names=list(evaluation.class_names), **changes.pop("info", {}))
    return find(evaluation, info, **{"robustness": Robustness(skipped="not asked for"), **changes})
