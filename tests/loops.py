"""Training loops of a fraction of a second, on scans that their brightness tells apart."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.loop import fit
from brain_tumor.training.metrics import Epoch, Fit
from brain_tumor.training.pipeline import evaluation_batches, training_batches
from brain_tumor.training.record import Record
from brain_tumor.training.sampling import Sampler
from brain_tumor.training.schedule import Schedule

SIZE = 32
Data = tuple[NDArray[np.uint8], NDArray[np.int32]]


def _bright_and_dark(count: int, seed: int) -> Data:
    """Draw scans that one look at their brightness tells apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 2
    base = np.where(labels == 1, 170, 60)[:, None, None]
    return (base + random.integers(-40, 41, (count, SIZE, SIZE))).astype(np.uint8), labels


TRAIN, VAL = _bright_and_dark(40, 0), _bright_and_dark(12, 1)


def _sampler() -> Sampler:
    """Draw the training scans, each a picture of its own."""
    labels = [str(label) for label in TRAIN[1]]
    numbers = np.arange(len(labels), dtype=np.int32)
    return Sampler(numbers, numbers, labels, seed=0)


def _small_network(dropout: float) -> keras.Model:
    """Build the least that can be trained; it has a kernel, moving averages and dropout."""
    images = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(dropout, seed=1)(x)
    return keras.Model(images, keras.layers.Dense(2)(x))


@dataclass
class Run:
    """One call of `fit` and what can be seen of it."""

    parameters: Hyperparameters
    val: Data = VAL
    seconds: float | None = None
    stop_asked: Callable[["Run"], bool] = lambda _: False
    record: Record = field(default_factory=Record)
    reported: list[Epoch] = field(default_factory=list)
    weights: list[list[NDArray[Any]]] = field(default_factory=list)
    """The averaged weights at the end of each epoch."""

    def __post_init__(self) -> None:
        keras.utils.set_random_seed(0)
        network, averaged = (_small_network(self.parameters.dropout) for _ in range(2))
        self.trainer = Trainer(network, averaged, self.parameters)

    @property
    def steps(self) -> int:
        """Training steps so far."""
        return int(self.trainer.optimizer.iterations)

    def __call__(self) -> Fit:
        def report(epoch: Epoch) -> None:
            self.reported.append(epoch)
            self.weights.append(self.trainer.averaged.get_weights())

        return fit(
            self.trainer,
            iter(self.batches()),
            evaluation_batches(*self.val, 8),
            Schedule(
                self.parameters.most_epochs,
                5,
                self.parameters.peak_rate,
                self.parameters.patience,
                self.seconds,
            ),
            lambda: self.stop_asked(self),
            report,
            self.record,
        )

    def batches(self) -> tf.data.Dataset:
        size, first = self.parameters.batch_size, self.record.all_steps
        return training_batches(*TRAIN, _sampler(), size, None, first)


def parameters(**changes: Any) -> Hyperparameters:
    values = {
        "image_size": SIZE,
        "batch_size": 8,
        "epochs": 4,
        "learning_rate": 0.1,
        "dropout": 0.0,
    }
    # Not checked, so that a learning rate may be absurd.
    return Hyperparameters().model_copy(update=values | changes)
