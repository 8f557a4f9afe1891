"""Stored pixels and labels to batches: tf.data pipelines for training and evaluation."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import label_indices
from brain_tumor.images import Pixels
from brain_tumor.training.augmentation import augment
from brain_tumor.training.channels import Channels
from brain_tumor.training.sampling import Sampler
from brain_tumor.training.strategy import WHOLE, Part

_EVALUATION_BATCH = 64

# To look for Python's branches and loops, of which there are none, takes half of the tracing.
_as_written = tf.autograph.experimental.do_not_convert


def training_batches(
    pixels: Pixels | StoredPixels,
    labels: NDArray[np.int32],
    sampler: Sampler,
    batch_size: int,
    seed: int | None,
    first: int = 0,
    part: Part = WHOLE,
) -> tf.data.Dataset:
    """Give an endless stream of batches, epoch after epoch as the sampler draws them.

    Batch n is the same in every stream of these arguments, wherever it begins.

    Args:
        pixels: (n, size, size), 0-255.
        labels: (n,), class indices.
        sampler: draws each epoch's rows.
        batch_size: scans a batch; an epoch's last scans are made up to a batch by the next's first.
        seed: of the random variation of each scan; None leaves scans as they are.
        first: number of the first batch that is given; those before it were used already.
        part: which part of every batch is given, varied as it is within the whole.

    Returns:
        Batches of (images float32 (batch, size, size, 1), labels int32 (batch,)), or of the part.
    """

    def rows() -> Iterator[NDArray[np.int32]]:
        epoch, used = divmod(first * batch_size, sampler.scans)
        yield sampler.epoch(epoch)[used:]
        for number in count(epoch + 1):
            yield sampler.epoch(number)

    epochs = tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec((None,), tf.int32))
    drawn = epochs.unbatch().batch(batch_size, drop_remainder=True)
    place = part.of(batch_size)
    batches = _gather(drawn.map(lambda batch: batch[place]), pixels, labels)
    if seed is not None:
        numbered = tf.data.Dataset.zip((batches, tf.data.Dataset.counter(first)))

        def vary(
            batch: tuple[tf.Tensor, tf.Tensor], number: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            images, classes = batch
            return augment(images, tf.stack([seed, number]), batch_size, part), classes

        batches = numbered.map(_as_written(vary), num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    pixels: Pixels | StoredPixels, labels: NDArray[np.int32], batch_size: int
) -> tf.data.Dataset:
    """Give all scans once, in order, in the shapes of `training_batches`."""
    rows = tf.data.Dataset.range(len(labels)).batch(batch_size)
    return _gather(rows, pixels, labels).prefetch(tf.data.AUTOTUNE)


def validation_batches(channels: Channels) -> tf.data.Dataset:
    """Give the scans of the val channel once, in order."""
    labels = label_indices(channels.val, channels.class_names)
    return evaluation_batches(channels.val.pixels, labels, _EVALUATION_BATCH)


def _gather(
    rows: tf.data.Dataset, pixels: Pixels | StoredPixels, labels: NDArray[np.int32]
) -> tf.data.Dataset:
    all_labels = tf.constant(labels)

    def pick(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.numpy_function(pixels.__getitem__, [batch], tf.uint8)
        images.set_shape((batch.shape[0], *pixels.shape[1:]))
        return tf.cast(images, tf.float32)[..., tf.newaxis], tf.gather(all_labels, batch)

    return rows.map(_as_written(pick), num_parallel_calls=tf.data.AUTOTUNE)
