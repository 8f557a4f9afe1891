"""The training loop: one step of our own, one metric line an epoch, early stopping.

Keras' `fit` is not used: it fails under MultiWorkerMirroredStrategy (keras-team/keras#20585), and
one machine and many shall run the same step.
"""

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.errors import BrainTumorError
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import TOLERANCE, Epoch, Fit, Validation
from brain_tumor.training.schedule import Progress, Schedule, learning_rate_at

_AVERAGE_DECAY = 0.998
"""The mean follows the last five hundred steps or so."""

_LARGEST_GRADIENT = 5.0
"""Norm that gradients are cut to: without batch normalisation one odd batch could undo a run."""

_HEAD_RATE_MULTIPLIER = 5.0
"""A head that starts from nothing on a pretrained backbone takes steps so many times as long."""


class Trainer:
    """The steps on one network; built once, traced once."""

    def __init__(
        self,
        network: keras.Model,
        averaged: keras.Model,
        parameters: Hyperparameters,
        taught: bool = False,
    ) -> None:
        """Take the network to train and one of the same weights that follows it.

        Args:
            network: takes the steps.
            averaged: holds the running mean of the weights (Polyak averaging), which is what is
                validated and served: it is steadier than the weights of any one step.
            parameters: rate, decay and smoothing are used.
            taught: labels are probabilities (batch, classes), which nothing needs to smooth, and
                the head, which is no longer new, takes steps as long as the others'.
        """
        self.network = network
        self.averaged = averaged
        self.optimizer = keras.optimizers.AdamW(
            parameters.peak_rate,
            weight_decay=parameters.weight_decay,
            global_clipnorm=_LARGEST_GRADIENT,
        )
        self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        if keras.mixed_precision.global_policy().compute_dtype == "float16":
            self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
        self.optimizer.build(network.trainable_variables)
        self._unused = [variable.numpy() for variable in self.optimizer.variables]
        head = network.layers[-1].trainable_variables
        self._fast_head = head if parameters.starts_pretrained and not taught else []
        self._smoothing = 0.0 if taught else parameters.label_smoothing
        self._loss, self._accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()
        self.begin(network.get_weights())

    def begin(self, weights: list[NDArray[np.float32]]) -> None:
        """Start from `weights` with an optimizer that has taken no step yet."""
        self.network.set_weights(weights)
        self.averaged.set_weights(weights)
        for variable, value in zip(self.optimizer.variables, self._unused, strict=True):
            variable.assign(value)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def train_step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Take one step on (batch, size, size, 1) images and their labels.

        These are (batch,) class indices, or (batch, classes) probabilities of a network that is
        taught; the most probable class is then what counts as right.
        """
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            loss = self._mean_loss(labels, logits, self._smoothing)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.network.trainable_variables)
        before = [tf.identity(variable) for variable in self._fast_head]
        self.optimizer.apply_gradients(
            zip(gradients, self.network.trainable_variables, strict=True)
        )
        for variable, value in zip(self._fast_head, before, strict=True):
            variable.assign(value + _HEAD_RATE_MULTIPLIER * (variable - value))
        self._average()
        self._count(labels, logits, loss)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def evaluation_step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Count loss and accuracy of the averaged weights; the loss is without smoothing."""
        logits = self.averaged(images, training=False)
        self._count(labels, logits, self._mean_loss(labels, logits, 0.0))

    def validate(self, val: tf.data.Dataset) -> Validation:
        """Measure the averaged weights on batches of (images, labels)."""
        for images, labels in val:
            self.evaluation_step(images, labels)
        return Validation(*self.take_figures())

    def take_figures(self) -> tuple[float, float]:
        """Return mean loss and accuracy since the last call, and begin anew."""
        figures = float(self._loss.result()), float(self._accuracy.result())
        self._loss.reset_state()
        self._accuracy.reset_state()
        return figures

    def _average(self) -> None:
        # Short memory at first, so that the mean soon forgets the random start.
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(_AVERAGE_DECAY, (1 + step) / (10 + step))
        for mean, weight in zip(self.averaged.weights, self.network.weights, strict=True):
            mean.assign_sub((1 - decay) * (mean - weight))

    def _mean_loss(self, labels: tf.Tensor, logits: tf.Tensor, smoothing: float) -> tf.Tensor:
        targets = labels if labels.shape.rank == 2 else tf.one_hot(labels, logits.shape[-1])
        return tf.reduce_mean(
            keras.losses.categorical_crossentropy(
                targets, logits, from_logits=True, label_smoothing=smoothing
            )
        )

    def _count(self, labels: tf.Tensor, logits: tf.Tensor, loss: tf.Tensor) -> None:
        self._loss.update_state(loss, sample_weight=tf.shape(labels)[0])
        self._accuracy.update_state(
            tf.argmax(labels, axis=1) if labels.shape.rank == 2 else labels, logits
        )


def fit(
    trainer: Trainer,
    batches: Iterator[tuple[tf.Tensor, tf.Tensor]],
    val: tf.data.Dataset,
    schedule: Schedule,
    stop_asked: Callable[[], bool],
    report: Callable[[Epoch], None],
) -> Fit:
    """Train until the epochs, the patience or the time are used up.

    A loop that comes to the end of its schedule keeps its last epoch: with the rate near zero it is
    the best one, and the best on a few hundred scans is mostly a lucky one (docs/recipe.md). The
    best on validation is kept where the last is clearly worse, and where the loop was ended early.

    Args:
        trainer: the network and its steps; at the end `averaged` holds the epoch that is kept.
        batches: an endless stream of training batches; the next loop goes on where this one ends.
        val: batches of the validation scans.
        schedule: how long, and how fast.
        stop_asked: asked before every step; True ends training after that step.
        report: called with each epoch as it ends.

    Raises:
        BrainTumorError: the loss is no longer a number.
    """
    progress = Progress(schedule.epochs * schedule.steps_per_epoch, schedule.seconds)
    epochs: list[Epoch] = []
    best, best_weights, ended = None, trainer.averaged.get_weights(), "all epochs done"
    for number in range(schedule.first_epoch, schedule.first_epoch + schedule.epochs):
        epoch = _run_epoch(trainer, batches, val, number, progress, schedule, stop_asked)
        report(epoch)
        epochs.append(epoch)
        if best is None or epoch.is_better_than(best):
            best, best_weights = epoch, trainer.averaged.get_weights()
        if reason := _reason_to_end(epoch, best, progress, schedule, stop_asked):
            ended = reason
            break
    assert best is not None  # noqa: S101 - epochs is at least 1
    last = epochs[-1]
    if progress.fraction() >= 1 and last.val_accuracy >= best.val_accuracy - TOLERANCE:
        return Fit(epochs, last, ended)
    trainer.averaged.set_weights(best_weights)
    return Fit(epochs, best, ended)


def _run_epoch(
    trainer: Trainer,
    batches: Iterator[tuple[tf.Tensor, tf.Tensor]],
    val: tf.data.Dataset,
    number: int,
    progress: Progress,
    schedule: Schedule,
    stop_asked: Callable[[], bool],
) -> Epoch:
    start = time.monotonic()
    rate = schedule.peak_rate
    for images, labels in islice(batches, schedule.steps_per_epoch):
        rate = learning_rate_at(progress.fraction(), schedule.peak_rate)
        trainer.optimizer.learning_rate = rate
        trainer.train_step(images, labels)
        progress.advance()
        if stop_asked() or progress.fraction() >= 1:
            break
    train_loss, train_accuracy = trainer.take_figures()
    scores = trainer.validate(val)
    if not (math.isfinite(train_loss) and math.isfinite(scores.loss)):
        raise BrainTumorError(
            f"The loss is no longer a number in epoch {number} (training {train_loss}, validation "
            f"{scores.loss}). Usual cause: learning-rate={schedule.peak_rate} is too high; try "
            "a tenth of it."
        )
    seconds = time.monotonic() - start
    return Epoch(number, train_loss, train_accuracy, scores.loss, scores.accuracy, rate, seconds)


def _reason_to_end(
    epoch: Epoch,
    best: Epoch,
    progress: Progress,
    schedule: Schedule,
    stop_asked: Callable[[], bool],
) -> str | None:
    if stop_asked():
        return "asked to stop"
    if schedule.patience is not None and epoch.epoch - best.epoch >= schedule.patience:
        return f"no better validation accuracy for {schedule.patience} epochs"
    if progress.fraction() >= 1 and progress.step < progress.total_steps:
        return f"the {schedule.seconds:.0f} seconds for training are used up"
    return None


def network_logits(network: keras.Model, batches: tf.data.Dataset) -> NDArray[np.float32]:
    """Return the logits (n, classes) of all batches, in order."""
    forward: Any = tf.function(
        lambda images: network(images, training=False), reduce_retracing=True
    )
    return np.concatenate([forward(images).numpy() for images, _ in batches])
