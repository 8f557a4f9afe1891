"""The training step: gradients, averaged weights, figures; `loop` takes many of them.

Keras' `fit` is not used: it fails under MultiWorkerMirroredStrategy (keras-team/keras#20585), and
one machine and many shall run the same step.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Validation
from brain_tumor.training.record import Weights

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
        self.has_new_head = not parameters.continues
        self._smoothing = 0.0 if taught else parameters.label_smoothing
        self._loss, self._accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()
        self.begin(network.get_weights())

    def begin(self, weights: list[NDArray[np.float32]]) -> None:
        """Start from `weights` with an optimizer that has taken no step yet."""
        self.network.set_weights(weights)
        self.averaged.set_weights(weights)
        for variable, value in zip(self.optimizer.variables, self._unused, strict=True):
            variable.assign(value)

    def state(self) -> dict[str, Weights]:
        """Copy all that the next step depends on."""
        return {
            name: [variable.numpy() for variable in variables]
            for name, variables in self._variables().items()
        }

    def restore(self, state: Mapping[str, Weights]) -> None:
        """Go on from what `state` gave."""
        for name, variables in self._variables().items():
            for variable, value in zip(variables, state[name], strict=True):
                variable.assign(value)

    def _variables(self) -> dict[str, list[Any]]:
        return {
            # Not `weights`: the counters of random numbers, such as those of dropout, are state.
            "network": self.network.variables,
            "averaged": self.averaged.variables,
            "optimizer": self.optimizer.variables,
            "figures": [*self._loss.variables, *self._accuracy.variables],
        }

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


def network_logits(network: keras.Model, batches: tf.data.Dataset) -> NDArray[np.float32]:
    """Return the logits (n, classes) of all batches, in order."""
    forward: Any = tf.function(
        lambda images: network(images, training=False), reduce_retracing=True
    )
    return np.concatenate([forward(images).numpy() for images, _ in batches])
