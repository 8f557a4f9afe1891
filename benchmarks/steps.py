"""Training steps in float32, in this process: on a job's scans, and on one batch over and over."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import read_scans
from brain_tumor.data.table import label_indices
from brain_tumor.training.augmentation import augment
from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.network import build_network
from brain_tumor.training.pipeline import training_batches
from brain_tumor.training.sampling import Sampler

Batch = tuple[tf.Tensor, tf.Tensor]


class Steps:
    """A network, and batches to train it on."""

    def __init__(self, parts: Path, **hyperparameters: Any) -> None:
        """Read Train.zip in `parts`; take three steps of each kind, which are not timed."""
        parameters = Hyperparameters(**hyperparameters)
        self.size, self._batch = parameters.image_size, parameters.batch_size
        with Archive(parts / "Train.zip") as archive:
            table = read_scans(archive, self.size)
        names = sorted(set(table.labels))
        averaged = build_network(parameters, len(names))
        self._trainer = Trainer(build_network(parameters, len(names)), averaged, parameters)
        labels = label_indices(table, names)
        sampler = Sampler(table.pictures, table.groups, table.labels, seed=0)
        stream = training_batches(table.pixels, labels, sampler, self._batch, seed=0)
        self.batches: Iterator[Batch] = iter(stream)
        self.one_batch: Iterator[Batch] = iter(_over_and_over(table.pixels[: self._batch], labels))
        for batches in (self.batches, self.one_batch):
            self.processor_ms(batches, 3)

    def processor_ms(self, batches: Iterator[Batch], steps: int) -> float:
        """Take steps; give the processor time an image, of all threads, in ms."""
        started = time.process_time()
        for _ in range(steps):
            self._trainer.train_step(*next(batches))
        return 1000 * (time.process_time() - started) / (steps * self._batch)


def _over_and_over(pixels: Any, labels: Any) -> tf.data.Dataset:
    """Give one batch for ever, varied anew each time as `train` does."""
    images = tf.constant(pixels[..., np.newaxis], tf.float32)
    same = tf.data.Dataset.from_tensors((images, tf.constant(labels[: len(pixels)]))).repeat()
    numbered = tf.data.Dataset.zip((same, tf.data.Dataset.counter()))
    return numbered.map(
        lambda batch, number: (
            augment(batch[0], tf.stack([tf.zeros_like(number), number]), len(pixels)),
            batch[1],
        ),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)
