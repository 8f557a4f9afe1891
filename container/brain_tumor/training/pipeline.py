"""Pixels and labels in memory to batches: tf.data pipelines for training and evaluation."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def training_batches(
    pixels: NDArray[np.uint8], labels: NDArray[np.int32], batch_size: int, seed: int
) -> tf.data.Dataset:
    """Shuffle all scans anew each pass; the last batch may be smaller.

    Only row numbers are shuffled: a shuffle buffer of scans would hold them a second time.

    Args:
        pixels: (n, size, size), 0-255.
        labels: (n,), class indices.
        batch_size: scans a batch.
        seed: order of the scans.

    Returns:
        Batches of (images float32 (batch, size, size, 1), labels int32 (batch,)).
    """
    rows = tf.data.Dataset.range(len(labels)).shuffle(len(labels), seed=seed)
    return _gather(rows.batch(batch_size), pixels, labels)


def evaluation_batches(
    pixels: NDArray[np.uint8], labels: NDArray[np.int32], batch_size: int
) -> tf.data.Dataset:
    """Give all scans once, in order, in the shapes of `training_batches`."""
    return _gather(tf.data.Dataset.range(len(labels)).batch(batch_size), pixels, labels)


def _gather(
    rows: tf.data.Dataset, pixels: NDArray[np.uint8], labels: NDArray[np.int32]
) -> tf.data.Dataset:
    all_pixels, all_labels = tf.constant(pixels), tf.constant(labels)

    def pick(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(tf.gather(all_pixels, batch), tf.float32)[..., tf.newaxis]
        return images, tf.gather(all_labels, batch)

    return rows.map(pick, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
