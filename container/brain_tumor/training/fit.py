"""The training step: gradients, averaged weights, figures; `loop` takes many of them.

Keras' `fit` is not used: it fails under MultiWorkerMirroredStrategy (keras-team/keras#20585), and
one machine and many shall run the same step. Where several hosts train, each takes its steps on
its part of every batch; gradients and figures are summed over all, and the chief alone validates.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.training.cluster import ALONE, Cluster
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Validation
from brain_tumor.training.record import Weights
from brain_tumor.training.strategy import require_a_scan_for_each, spread

_AVERAGE_DECAY = 0.998
"""The mean follows the last five hundred steps or so."""

_LARGEST_GRADIENT = 5.0
"""Norm that gradients are cut to: without batch normalisation one odd batch could undo a run."""

_HEAD_RATE_MULTIPLIER = 5.0
"""A head that starts from nothing on a pretrained backbone takes steps so many times as long."""


class _GlobalAdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    """AdamW that is given the sum of all replicas' gradients, so that it cuts the norm of that.

    Keras would add them up after it has cut each. A variable's update is one operation of
    TensorFlow's: of the twenty that Keras spells out, 2 s of the time to the first step were spent.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars

    def _backend_update_step(self, grads: Any, variables: Any, learning_rate: Any) -> None:
        step = tf.cast(self.iterations + 1, tf.float32)
        self._powers = tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)
        super()._backend_update_step(grads, variables, learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=self._powers[0],
            beta2_power=self._powers[1],
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )


class Trainer:
    """The steps on one network; built once, traced once."""

    def __init__(
        self,
        network: keras.Model,
        averaged: keras.Model,
        parameters: Hyperparameters,
        taught: bool = False,
        cluster: Cluster = ALONE,
        strategy: tf.distribute.Strategy | None = None,
        xla: bool = False,
    ) -> None:
        """Take the network to train and one of the same weights that follows it.

        Args:
            network: takes the steps; built in the scope of `strategy`.
            averaged: holds the running mean of the weights (Polyak averaging), which is what is
                validated and served: it is steadier than the weights of any one step.
            parameters: rate, decay and smoothing are used.
            taught: labels are probabilities (batch, classes), which nothing needs to smooth, and
                the head, which is no longer new, takes steps as long as the others'.
            cluster: the hosts, of which the chief alone validates.
            strategy: spreads the steps over hosts and GPUs; None: TensorFlow's default.
            xla: let XLA compile the step, which it can on one device alone.

        Raises:
            HyperparameterError: the batch is too small to be spread so far.
        """
        self._cluster, self._strategy = cluster, strategy or tf.distribute.get_strategy()
        require_a_scan_for_each(parameters.batch_size, self._strategy)
        self._batch_size = parameters.batch_size
        self.network = network
        self.averaged = averaged
        with self._strategy.scope():
            self.optimizer = _build_optimizer(network, parameters)
        self._unused = [variable.numpy() for variable in self.optimizer.variables]
        head = network.layers[-1].trainable_variables
        self._fast_head = head if parameters.starts_pretrained and not taught else []
        self.has_new_head = not parameters.continues
        self._smoothing = 0.0 if taught else parameters.label_smoothing
        self._figures = tf.Variable(tf.zeros(3))
        """Sum of the losses, scans that were right, scans."""
        self._step = tf.function(
            self._step_on_all,
            autograph=False,
            reduce_retracing=True,
            jit_compile=True if xla else None,
        )
        self._make_pupil = partial(
            Trainer, network, averaged, parameters, True, cluster, strategy, xla
        )
        self.begin(network.get_weights())

    def pupil(self) -> "Trainer":
        """Make a trainer of the same networks that is taught."""
        return self._make_pupil()

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
            "figures": [self._figures],
        }

    def _step_on_all(self, images: Any, labels: Any) -> None:
        before = [tf.identity(variable) for variable in self._fast_head]
        sums = self._strategy.run(self._step_of_replica, args=(images, labels))
        for variable, value in zip(self._fast_head, before, strict=True):
            variable.assign(value + _HEAD_RATE_MULTIPLIER * (variable - value))
        self._average()
        # The same on each replica.
        self._figures.assign_add(self._strategy.experimental_local_results(sums)[0])

    def train_step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Take one step on this host's part of a batch: images (n, size, size, 1), and labels.

        These are (n,) class indices, or (n, classes) probabilities of a network that is taught;
        the most probable class is then what counts as right.
        """
        self._step(*spread(self._strategy, (images, labels)))

    def _step_of_replica(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            loss = _mean_loss(labels, logits, self._smoothing)
            scaled = self.optimizer.scale_loss(loss * self._share_of_batch(labels))
        gradients = tape.gradient(scaled, self.network.trainable_variables)
        # The sum of what each part adds to the mean over the batch, however large the parts are.
        *gradients, sums = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, [*gradients, _figures(labels, logits, loss)]
        )
        self.optimizer.apply_gradients(
            zip(gradients, self.network.trainable_variables, strict=True)
        )
        return sums

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def evaluation_step(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Count loss and accuracy of the averaged weights; the loss is without smoothing."""
        logits = self.averaged(images, training=False)
        loss = _mean_loss(labels, logits, 0.0)
        self._figures.assign_add(_figures(labels, logits, loss))

    def validate(self, val: tf.data.Dataset) -> Validation:
        """Measure the averaged weights on batches of (images, labels); the chief's are told to all.

        All hosts have the same weights, apart from batch normalisation's running statistics.
        """

        def measure() -> tuple[float, float]:
            for images, labels in val:
                self.evaluation_step(images, labels)
            return self.take_figures()

        return Validation(*self._cluster.told_by_chief(measure))

    def take_figures(self) -> tuple[float, float]:
        """Return mean loss and accuracy since the last call, and begin anew."""
        loss, right, scans = self._figures.numpy()
        self._figures.assign(tf.zeros(3))
        return float(loss / max(scans, 1)), float(right / max(scans, 1))

    def _share_of_batch(self, labels: tf.Tensor) -> tf.Tensor | float:
        if self._strategy.num_replicas_in_sync == 1:
            return 1.0
        return tf.cast(tf.shape(labels)[0], tf.float32) / self._batch_size

    def _average(self) -> None:
        # Short memory at first, so that the mean soon forgets the random start.
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(_AVERAGE_DECAY, (1 + step) / (10 + step))
        for mean, weight in zip(self.averaged.weights, self.network.weights, strict=True):
            mean.assign_sub((1 - decay) * (mean - weight))


def _build_optimizer(
    network: keras.Model, parameters: Hyperparameters
) -> keras.optimizers.Optimizer:
    optimizer = _GlobalAdamW(
        parameters.peak_rate,
        weight_decay=parameters.weight_decay,
        global_clipnorm=_LARGEST_GRADIENT,
        name="adamw",
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if keras.mixed_precision.global_policy().compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


def _mean_loss(labels: tf.Tensor, logits: tf.Tensor, smoothing: float) -> tf.Tensor:
    targets = labels if labels.shape.rank == 2 else tf.one_hot(labels, logits.shape[-1])
    losses = keras.losses.categorical_crossentropy(
        targets, logits, from_logits=True, label_smoothing=smoothing
    )
    return tf.cast(tf.reduce_mean(losses), tf.float32)


def _figures(labels: tf.Tensor, logits: tf.Tensor, loss: tf.Tensor) -> tf.Tensor:
    """Sum of the losses, scans that are right, scans."""
    if labels.shape.rank == 2:
        labels = tf.argmax(labels, axis=1)
    right = tf.argmax(logits, axis=1) == tf.cast(labels, tf.int64)
    scans = tf.cast(tf.shape(labels)[0], tf.float32)
    return tf.stack([loss * scans, tf.reduce_sum(tf.cast(right, tf.float32)), scans])


def network_logits(network: keras.Model, batches: tf.data.Dataset) -> NDArray[np.float32]:
    """Return the logits (n, classes) of all batches, in order."""
    forward: Any = tf.function(
        lambda images: network(images, training=False), reduce_retracing=True
    )
    return np.concatenate([forward(images).numpy() for images, _ in batches])
