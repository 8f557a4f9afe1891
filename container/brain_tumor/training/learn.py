"""Training of a network on the channels of a job."""

import logging
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import PIL
import tensorflow as tf

import brain_tumor
from brain_tumor.data.table import label_indices
from brain_tumor.training.channels import Channels
from brain_tumor.training.cluster import ALONE, Cluster
from brain_tumor.training.distillation import RATE_SHARE, Batch, lesson_cost, teach
from brain_tumor.training.events import EventLog
from brain_tumor.training.fit import Trainer
from brain_tumor.training.former import FormerModel
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Epoch, Training
from brain_tumor.training.network import (
    build_network,
    pretrained_digest,
    set_former_weights,
    set_pretrained_weights,
)
from brain_tumor.training.pipeline import training_batches, validation_batches
from brain_tumor.training.precision import FLOAT32, Precision, candidates
from brain_tumor.training.record import Record
from brain_tumor.training.sampling import Sampler
from brain_tumor.training.schedule import Schedule
from brain_tumor.training.soup import train_soup
from brain_tumor.training.strategy import Part, devices_of, make_strategy
from brain_tumor.training.trials import any_batch, choose

log = logging.getLogger(__name__)


def train_network(
    channels: Channels,
    parameters: Hyperparameters,
    stop_asked: Callable[[], bool],
    pretrained: Path | None = None,
    seconds: float | None = None,
    record: Record | None = None,
    former: FormerModel | None = None,
    events: EventLog | None = None,
    cluster: Cluster = ALONE,
) -> tuple[keras.Model, Training]:
    """Train on the train channel and keep the epoch, or the soup of epochs, that is best on val.

    Args:
        channels: the scans.
        parameters: what the job asks for.
        stop_asked: True once training shall end early.
        pretrained: folder of the channel `pretrained`.
        seconds: time for training from now on; None: no limit.
        record: what former runs of the job did, and where this one notes how far it is.
        former: the model that training goes on from.
        events: where each epoch is noted for TensorBoard.
        cluster: the hosts, each of which calls this with the same scans and the same past.

    Returns:
        The network as it will be served (in float32), and how training went.
    """
    record = record or Record()
    # What several hosts decide by is the same on all of them.
    left, stop = cluster.told_by_chief(lambda: seconds), cluster.agreed(stop_asked)
    end = None if left is None else record.seconds_before + left
    strategy = make_strategy(cluster)
    keras.utils.set_random_seed(parameters.seed)
    names = channels.class_names
    # In float32, whatever type training computes in.
    served = build_network(parameters, len(names))
    log.info("Network %s: %d parameters", served.name, served.count_params())
    scans = channels.train
    sampler = Sampler(scans.pictures, scans.groups, scans.labels, parameters.seed)
    steps = math.ceil(sampler.scans / parameters.batch_size)
    part = Part(cluster.hosts.index, cluster.size)
    train = training_batches(
        scans.pixels,
        label_indices(scans, names),
        sampler,
        parameters.batch_size,
        parameters.seed if parameters.augment else None,
        record.all_steps,
        part,
    )

    def make_trainer(precision: Precision) -> Trainer:
        keras.mixed_precision.set_global_policy(precision.policy)
        with strategy.scope():
            network = build_network(parameters, len(names))
        if former is None:
            set_pretrained_weights(network, parameters, pretrained)
        else:
            set_former_weights(network, parameters, former.weights)
        return Trainer(network, served, parameters, False, cluster, strategy, precision.xla)

    planned = steps * _epochs_worth(parameters)
    chosen, trainer = _choose_trainer(
        make_trainer, parameters, part, planned, end, stop, record, cluster
    )
    training = _train(
        trainer,
        (iter(train), validation_batches(channels)),
        parameters,
        steps,
        end,
        stop,
        partial(_report, events) if cluster.is_chief else _keep_quiet,
        record,
        # Each host mixes its part in its own way.
        parameters.seed + part.index,
    )
    keras.mixed_precision.set_global_policy(FLOAT32)
    training = replace(training, precision=chosen)
    kept = " and ".join(str(epoch) for epoch in training.kept_epochs)
    log.info(
        "Training ended: %s; kept: %s %s, %.1f %% of val right",
        training.ended,
        "epoch" if len(training.kept_epochs) == 1 else "the mean of the weights of epochs",
        kept,
        100 * training.validation.accuracy,
    )
    return served, training


def _choose_trainer(
    make_trainer: Callable[[Precision], Trainer],
    parameters: Hyperparameters,
    part: Part,
    steps: float,
    seconds: float | None,
    stop_asked: Callable[[], bool],
    record: Record,
    cluster: Cluster,
) -> tuple[Precision, Trainer]:
    """Make the trainer, which computes as former runs of the job did, or as suits all hosts."""
    hosts = devices_of(cluster)
    first, other = candidates(parameters.mixed_precision, hosts, parameters.backbone)
    if (before := record.precision) is not None:
        # XLA only where it could be chosen too: the job may have more GPUs now.
        first, other = replace(before, xla=before.xla and other is not None and other.xla), None
    batch = any_batch(parameters, part)
    chosen, trainer = choose(first, other, make_trainer, batch, steps, seconds, stop_asked, cluster)
    keras.mixed_precision.set_global_policy(chosen.policy)
    log.info("Training computes in %s: %s", chosen, chosen.why)
    record.precision = chosen
    return chosen, trainer


def _train(
    trainer: Trainer,
    data: tuple[Iterator[Batch], tf.data.Dataset],
    parameters: Hyperparameters,
    steps: int,
    seconds: float | None,
    stop_asked: Callable[[], bool],
    report: Callable[[Epoch], None],
    record: Record,
    seed: int,
) -> Training:
    """Train the members, then teach their mean; the time is divided by what each part costs."""
    members_share = parameters.most_epochs / _epochs_worth(parameters)
    schedule = Schedule(
        parameters.most_epochs,
        steps,
        parameters.peak_rate,
        parameters.patience,
        None if seconds is None else seconds * members_share,
    )
    soup, members = train_soup(
        trainer, *data, schedule, parameters.most_members, stop_asked, report, record
    )
    lessons = parameters.most_lessons
    if soup.kept is not None or not lessons or (stop_asked() and not record.is_inside_a_loop):
        return soup
    schedule = replace(
        schedule,
        epochs=lessons,
        first_epoch=soup.epochs[-1].epoch + 1,
        peak_rate=parameters.peak_rate * RATE_SHARE,
        seconds=None if seconds is None else max(0.0, seconds - record.clock()),
    )
    pupil = trainer.pupil()
    return teach(pupil, soup, members, *data, schedule, seed, stop_asked, report, record)


def _epochs_worth(parameters: Hyperparameters) -> float:
    """Return how many epochs of plain training all of it costs."""
    lessons = parameters.most_lessons * lesson_cost(parameters.most_members)
    return parameters.most_epochs + lessons


def facts_of_host(parameters: Hyperparameters, pretrained: Path | None) -> dict[str, Any]:
    """Return what training depends on that may differ from host to host, by name."""
    return {
        "number of GPUs": len(tf.config.list_physical_devices("GPU")),
        "weights file in the channel pretrained": pretrained_digest(parameters, pretrained),
    }


def library_versions() -> dict[str, str]:
    """Return the versions that a model depends on."""
    return {
        "brain_tumor": brain_tumor.__version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def _report(events: EventLog | None, epoch: Epoch) -> None:
    # On stdout and flushed: the platform matches its metric definitions against it live.
    print(epoch.metric_line(), flush=True)
    if events is not None:
        events.add(epoch)


def _keep_quiet(_: Epoch) -> None:
    """Leave the metric lines to the chief, or the platform would match each several times."""
