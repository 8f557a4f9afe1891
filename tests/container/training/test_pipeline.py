"""training.pipeline: scans in memory to batches."""

from itertools import islice

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training.pipeline import evaluation_batches, training_batches
from brain_tumor.training.sampling import Sampler

LABELS = np.arange(23, dtype=np.int32)
# Scan n is all of grey n.
PIXELS = np.repeat(np.arange(23, dtype=np.uint8), 16).reshape(23, 4, 4)


def _batches(
    batch_size: int, seed: int = 0, augment: int | None = None, first: int = 0
) -> tf.data.Dataset:
    numbers = np.arange(23, dtype=np.int32)
    sampler = Sampler(numbers, numbers, ["glioma"] * 23, seed)
    return training_batches(PIXELS, LABELS, sampler, batch_size, augment, first)


def _take(batches: tf.data.Dataset, count: int) -> list[tuple[NDArray[np.float32], list[int]]]:
    return [(images.numpy(), labels.numpy().tolist()) for images, labels in batches.take(count)]


def test_every_scan_goes_with_its_own_label_and_all_batches_are_full() -> None:
    for images, labels in _take(_batches(5), 7):
        assert images.shape == (5, 4, 4, 1)
        assert images.dtype == np.float32
        assert images[:, 0, 0, 0].tolist() == labels


def test_an_epoch_shows_every_picture_once_before_the_next_one_begins() -> None:
    order = [label for _, labels in _take(_batches(1), 46) for label in labels]
    first, second = order[:23], order[23:]
    assert sorted(first) == sorted(second) == list(range(23))
    assert first != second


def test_fewer_scans_than_a_batch_still_fill_it() -> None:
    ((images, labels),) = _take(_batches(64), 1)
    assert images.shape[0] == 64
    assert set(labels) == set(range(23))


def test_the_same_seed_gives_the_same_order_and_another_seed_another() -> None:
    def order(seed: int) -> list[int]:
        return [label for _, labels in _take(_batches(5, seed), 8) for label in labels]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_variations_are_new_in_every_batch_and_the_same_for_the_same_seed() -> None:
    def images(seed: int) -> list[NDArray[np.float32]]:
        return [part for part, _ in _take(_batches(23, augment=seed), 2)]

    first, second = images(3)
    assert not np.array_equal(np.sort(first, axis=None), np.sort(second, axis=None))
    np.testing.assert_array_equal(images(3)[0], first)
    assert not np.array_equal(images(4)[0], first)


def test_a_stream_can_begin_where_another_was_left_in_the_middle_of_an_epoch() -> None:
    whole = _take(_batches(5, augment=3), 14)
    for first in (1, 9, 13):
        (images, labels), *_ = _take(_batches(5, augment=3, first=first), 1)
        np.testing.assert_array_equal(images, whole[first][0])
        assert labels == whole[first][1]


def test_evaluation_gives_every_scan_once_in_order() -> None:
    batches = evaluation_batches(PIXELS, LABELS, 5)
    parts = list(islice(_take(batches, 99), 99))
    assert [len(labels) for _, labels in parts] == [5, 5, 5, 5, 3]
    assert [label for _, labels in parts for label in labels] == list(range(23))
    assert parts[0][0].shape == (5, 4, 4, 1)
