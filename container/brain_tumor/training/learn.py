"""Training of a network on the channels of a job."""

import logging
import math
import platform
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import PIL
import tensorflow as tf

import brain_tumor
from brain_tumor.training.channels import Channels
from brain_tumor.training.evaluation import label_indices
from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Epoch, Training
from brain_tumor.training.network import build_network, set_pretrained_weights
from brain_tumor.training.pipeline import training_batches, validation_batches
from brain_tumor.training.sampling import Sampler
from brain_tumor.training.schedule import Schedule
from brain_tumor.training.soup import train_soup

log = logging.getLogger(__name__)


def train_network(
    channels: Channels,
    parameters: Hyperparameters,
    stop_asked: Callable[[], bool],
    pretrained: Path | None = None,
    seconds: float | None = None,
) -> tuple[keras.Model, Training]:
    """Train on the train channel and keep the epoch, or the soup of epochs, that is best on val.

    Args:
        channels: the scans.
        parameters: what the job asks for.
        stop_asked: True once training shall end early.
        pretrained: folder of the channel `pretrained`.
        seconds: time for training; None: no limit.

    Returns:
        The network as it will be served (in float32), and how training went.
    """
    keras.utils.set_random_seed(parameters.seed)
    names = channels.class_names
    # In float32, whatever type training computes in.
    served = build_network(parameters, len(names))
    log.info("Network %s: %d parameters", served.name, served.count_params())
    keras.mixed_precision.set_global_policy(_policy(parameters))
    network = build_network(parameters, len(names))
    set_pretrained_weights(network, parameters, pretrained)
    scans = channels.train
    sampler = Sampler(scans.pictures, scans.groups, scans.labels, parameters.seed)
    train = training_batches(
        scans.pixels,
        label_indices(scans, names),
        sampler,
        parameters.batch_size,
        parameters.seed if parameters.augment else None,
    )
    schedule = Schedule(
        parameters.most_epochs,
        math.ceil(sampler.scans / parameters.batch_size),
        parameters.peak_rate,
        parameters.patience,
        seconds,
    )
    trainer = Trainer(network, served, parameters)
    training = train_soup(
        trainer,
        iter(train),
        validation_batches(channels),
        schedule,
        parameters.most_members,
        stop_asked,
        _print_metrics,
    )
    keras.mixed_precision.set_global_policy("float32")
    kept = " and ".join(str(epoch) for epoch in training.kept_epochs)
    log.info(
        "Training ended: %s; kept: %s %s, %.1f %% of val right",
        training.ended,
        "epoch" if len(training.kept_epochs) == 1 else "the mean of the weights of epochs",
        kept,
        100 * training.validation.accuracy,
    )
    return served, training


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


def _policy(parameters: Hyperparameters) -> str:
    gpus = tf.config.list_physical_devices("GPU")
    wanted = parameters.mixed_precision
    if not (bool(gpus) if wanted is None else wanted):
        return "float32"
    return "mixed_float16" if gpus else "mixed_bfloat16"


def _print_metrics(epoch: Epoch) -> None:
    # On stdout and flushed: the platform matches its metric definitions against it live.
    print(epoch.metric_line(), flush=True)
