"""The parts of a training run that need TensorFlow: train, calibrate, evaluate."""

import logging
import math
import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import PIL
import tensorflow as tf

import brain_tumor
from brain_tumor import artifact
from brain_tumor.training import abstention
from brain_tumor.training.calibration import fit_temperature
from brain_tumor.training.channels import Channels
from brain_tumor.training.evaluation import Evaluation, evaluate_table, label_indices, overlap
from brain_tumor.training.export import Servable
from brain_tumor.training.fit import Trainer, fit, network_logits
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Epoch, Fit
from brain_tumor.training.network import build_network, set_pretrained_weights
from brain_tumor.training.pipeline import evaluation_batches, training_batches
from brain_tumor.training.robustness import Robustness, measure_robustness
from brain_tumor.training.sampling import Sampler
from brain_tumor.training.schedule import Schedule

__all__ = [
    "Servable",
    "calibrate",
    "choose_threshold",
    "evaluate",
    "library_versions",
    "stress",
    "train_network",
]

log = logging.getLogger(__name__)

_EVALUATION_BATCH = 64


def train_network(
    channels: Channels,
    parameters: Hyperparameters,
    stop_asked: Callable[[], bool],
    pretrained: Path | None = None,
    seconds: float | None = None,
) -> tuple[keras.Model, Fit]:
    """Train a network on the train channel and keep the epoch that is best on val.

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
    sampler = Sampler(channels.train, parameters.seed)
    train = training_batches(
        channels.train.pixels,
        label_indices(channels.train, names),
        sampler,
        parameters.batch_size,
        parameters.seed if parameters.augment else None,
    )
    schedule = Schedule(
        parameters.epochs,
        math.ceil(sampler.scans / parameters.batch_size),
        parameters.peak_rate,
        parameters.patience,
        seconds,
    )
    trainer = Trainer(network, served, parameters)
    fitted = fit(trainer, train, _validation(channels), schedule, stop_asked, _print_metrics)
    keras.mixed_precision.set_global_policy("float32")
    log.info("Training ended: %s; epoch %d is kept", fitted.ended, fitted.best.epoch)
    return served, fitted


def calibrate(network: keras.Model, channels: Channels) -> float:
    """Fit the temperature on the val channel."""
    labels = label_indices(channels.val, channels.class_names)
    temperature = fit_temperature(network_logits(network, _validation(channels)), labels)
    log.info("Temperature fitted on val: %.3f", temperature)
    return temperature


def choose_threshold(servable: Servable, channels: Channels) -> float:
    """Choose on the val channel below which probability an answer is `uncertain`."""
    predict = artifact.as_predict(servable.serving_default)
    probabilities = artifact.in_batches(predict, channels.val.pixels, _EVALUATION_BATCH)
    threshold = abstention.choose_threshold(probabilities)
    log.info("Below a probability of %.3f an answer is uncertain (chosen on val)", threshold)
    return threshold


def evaluate(servable: Servable, channels: Channels, threshold: float) -> Evaluation:
    """Predict the test channel, or val where there is none, as the saved model will."""
    table, channel, seen = channels.test, "test", [channels.train, channels.val]
    if table is None:
        table, channel, seen = channels.val, "val", [channels.train]
        log.warning("No test channel: figures are on val, which chose the epoch, so too high")
    predict = artifact.as_predict(servable.serving_default)
    evaluation = evaluate_table(predict, table, channels.class_names, channel)
    leaks, resembles = overlap(table, seen)
    return replace(
        evaluation,
        leaks=leaks,
        resembles=resembles,
        threshold=threshold,
        validated_on=channels.test is None,
    )


def stress(
    servable: Servable, evaluation: Evaluation, stop_asked: Callable[[], bool]
) -> Robustness:
    """Measure the accuracy on changed scans, as the saved model will answer them."""
    predict = artifact.as_predict(servable.serving_default)
    return measure_robustness(predict, evaluation, stop_asked)


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


def _validation(channels: Channels) -> tf.data.Dataset:
    labels = label_indices(channels.val, channels.class_names)
    return evaluation_batches(channels.val.pixels, labels, _EVALUATION_BATCH)


def _policy(parameters: Hyperparameters) -> str:
    gpus = tf.config.list_physical_devices("GPU")
    wanted = parameters.mixed_precision
    if not (bool(gpus) if wanted is None else wanted):
        return "float32"
    return "mixed_float16" if gpus else "mixed_bfloat16"


def _print_metrics(epoch: Epoch) -> None:
    # On stdout and flushed: the platform matches its metric definitions against it live.
    print(epoch.metric_line(), flush=True)
