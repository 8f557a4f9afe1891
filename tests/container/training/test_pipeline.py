"""training.pipeline: scans in memory to batches."""

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training.pipeline import evaluation_batches, training_batches

LABELS = np.arange(23, dtype=np.int32)
# Scan n is all of grey n.
PIXELS = np.repeat(np.arange(23, dtype=np.uint8), 16).reshape(23, 4, 4)


def _pass(batches: tf.data.Dataset) -> list[tuple[NDArray[np.float32], NDArray[np.int32]]]:
    return [(images.numpy(), labels.numpy()) for images, labels in batches]


def _order(batches: tf.data.Dataset) -> list[int]:
    return [int(label) for _, labels in _pass(batches) for label in labels]


@pytest.mark.parametrize("kind", ["training", "evaluation"])
def test_a_pass_gives_every_scan_once_with_its_own_label(kind: str) -> None:
    if kind == "training":
        batches = training_batches(PIXELS, LABELS, 5, seed=0)
    else:
        batches = evaluation_batches(PIXELS, LABELS, 5)
    assert int(batches.cardinality()) == 5
    parts = _pass(batches)
    assert [len(labels) for _, labels in parts] == [5, 5, 5, 5, 3]
    for images, labels in parts:
        assert images.shape[1:] == (4, 4, 1)
        assert images.dtype == np.float32
        assert labels.dtype == np.int32
        wanted = np.broadcast_to(labels[:, None, None, None], images.shape)
        np.testing.assert_array_equal(images, wanted)
    assert sorted(_order(batches)) == list(range(23))


def test_evaluation_is_in_order() -> None:
    batches = evaluation_batches(PIXELS, LABELS, 5)
    assert _order(batches) == _order(batches) == list(range(23))


def test_training_is_shuffled_anew_each_pass_and_the_same_for_the_same_seed() -> None:
    def two_passes(seed: int) -> list[list[int]]:
        tf.random.set_seed(7)
        batches = training_batches(PIXELS, LABELS, 5, seed)
        return [_order(batches) for _ in range(2)]

    first, second = two_passes(1)
    assert first != second
    assert list(range(23)) not in (first, second)
    assert two_passes(1) == [first, second]
    assert two_passes(2) != [first, second]


def test_fewer_scans_than_a_batch_are_one_batch() -> None:
    assert [len(labels) for _, labels in _pass(training_batches(PIXELS, LABELS, 64, 0))] == [23]
