"""Trial steps: where the arithmetic of training is in doubt it is measured; no step is left."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf
from tensorflow import errors

from brain_tumor.resources import allowed_cores
from brain_tumor.training.cluster import Cluster
from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.precision import FLOAT32, Precision
from brain_tumor.training.strategy import Part

log = logging.getLogger(__name__)

_CLEARLY = 1.1
"""How many times faster is worth other arithmetic. Steps that are taken in turn repeat within a few
per cent, so that what is far from it is decided alike each time (docs/training.md)."""

_WORTH_SECONDS = 120.0
"""A training that takes less is not worth the ten seconds or so of a comparison."""

_STEPS = 5

Batch = tuple[tf.Tensor, tf.Tensor]


def choose(
    first: Precision,
    other: Precision | None,
    make_trainer: Callable[[Precision], Trainer],
    batch: Batch,
    steps: float,
    seconds: float | None,
    stop_asked: Callable[[], bool],
    cluster: Cluster,
) -> tuple[Precision, Trainer]:
    """Return how to compute, and a trainer that does so and has taken no step yet.

    Args:
        first: is taken unless the other is clearly faster.
        other: what may be faster; None: nothing is in doubt.
        make_trainer: makes a trainer that computes as it is told.
        batch: any images and labels, as many as in training.
        steps: about how many there are to take.
        seconds: time for them; None: no limit.
        stop_asked: whether training shall end soon; all hosts ask it together.
        cluster: the hosts, which call this together; they take these steps together too.
    """
    trainer = make_trainer(first)
    if other is None and first.policy == FLOAT32:
        return first, trainer
    weights = trainer.network.get_weights()

    def anew(precision: Precision) -> Trainer:
        trainer = make_trainer(precision)
        trainer.begin(weights)
        return trainer

    trial = _try(first, trainer, batch)
    if trial is None:
        return Precision(why=f"steps in {first} fail here"), anew(Precision())
    if other is None:
        return first, trial.take_back()
    trial.take_step()
    most = math.inf if seconds is None else seconds
    planned = cluster.told_by_chief(lambda: min(steps * trial.wall_seconds, most))
    rival = None
    if stop_asked() or planned < _WORTH_SECONDS:
        why = f"{other} is not tried where training takes less than {_WORTH_SECONDS:.0f} s"
    elif (rival := _try(other, anew(other), batch)) is None:
        why = f"steps in {other} fail here"
    if rival is None:
        return replace(first, why=f"{first.why}; {why}".lstrip("; ")), trial.take_back()
    return _faster(trial, rival, cluster)


def any_batch(parameters: Hyperparameters, part: Part) -> Batch:
    """Return a host's part of a batch of noise: how long a step takes does not depend on it."""
    rows, size = part.of(parameters.batch_size), parameters.image_size
    scans = rows.stop - rows.start
    noise = np.random.default_rng(0).integers(0, 256, (scans, size, size, 1))
    return tf.constant(noise, tf.float32), tf.zeros(scans, tf.int32)


class Trial:
    """Steps of a trainer on one batch, which can be taken back."""

    def __init__(self, precision: Precision, trainer: Trainer, batch: Batch) -> None:
        """Take the first step, in which the graph is built and which does not count."""
        self.precision, self._trainer, self._batch = precision, trainer, batch
        self._start = trainer.state()
        # The processor's own time is free of what other processes take; a GPU's work takes none.
        on_gpu = bool(tf.config.list_physical_devices("GPU"))
        self._clock = time.perf_counter if on_gpu else time.process_time
        self._cores = 1 if on_gpu else allowed_cores()
        self._seconds: list[float] = []
        self.take_step()
        self._seconds.clear()

    def take_step(self) -> None:
        """Take and time a step."""
        begin = self._clock()
        self._trainer.train_step(*self._batch)
        # Reading them waits until a GPU is done.
        self._trainer.take_figures()
        self._seconds.append(self._clock() - begin)

    @property
    def step_seconds(self) -> float:
        """Median, of all cores together."""
        return float(np.median(self._seconds))

    @property
    def wall_seconds(self) -> float:
        """About what a step takes, at least."""
        return self.step_seconds / self._cores

    def take_back(self) -> Trainer:
        """Give the trainer as if it had taken no step."""
        self._trainer.restore(self._start)
        return self._trainer


def _try(precision: Precision, trainer: Trainer, batch: Batch) -> Trial | None:
    """Take a first step; None: TensorFlow cannot compute so on this device."""
    # Other errors are no matter of types, such as those of a host that is lost meanwhile.
    unsupported = [errors.NotFoundError, errors.InvalidArgumentError, errors.UnimplementedError]
    if precision.xla:
        # A compiler that lacks a part of CUDA.
        unsupported.append(errors.InternalError)
    try:
        return Trial(precision, trainer, batch)
    except tuple(unsupported) as error:
        log.warning("Training steps in %s fail: %s", precision, error)
        return None


def _faster(trial: Trial, rival: Trial, cluster: Cluster) -> tuple[Precision, Trainer]:
    # The first has taken one already.
    rival.take_step()
    for _ in range(_STEPS - 1):
        trial.take_step()
        rival.take_step()

    def measured() -> tuple[bool, str]:
        times = [f"{1000 * one.step_seconds:.0f} ms in {one.precision}" for one in (trial, rival)]
        why = f"a step takes {' and '.join(times)} (medians of {_STEPS})"
        return trial.step_seconds >= _CLEARLY * rival.step_seconds, why

    rival_wins, why = cluster.told_by_chief(measured)
    chosen = rival if rival_wins else trial
    return replace(chosen.precision, why=why), chosen.take_back()
