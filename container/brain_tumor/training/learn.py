"""The parts of a training run that need TensorFlow: train, calibrate, evaluate."""

import logging
import platform
from collections.abc import Callable

import keras
import numpy as np
import PIL
import tensorflow as tf
from numpy.typing import NDArray

import brain_tumor
from brain_tumor import artifact
from brain_tumor.data.scans import ScanTable
from brain_tumor.training.calibration import fit_temperature
from brain_tumor.training.channels import Channels
from brain_tumor.training.evaluation import (
    Evaluation,
    ForeignFigures,
    evaluate_table,
    label_indices,
)
from brain_tumor.training.export import Servable
from brain_tumor.training.fit import Trainer, fit, network_logits
from brain_tumor.training.foreign.detector import Detector
from brain_tumor.training.foreign.detector import fit_detector as fit_on_pixels
from brain_tumor.training.foreign.figures import foreign_figures
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Epoch, Fit
from brain_tumor.training.network import build_network
from brain_tumor.training.pipeline import evaluation_batches, training_batches

__all__ = [
    "Servable",
    "calibrate",
    "evaluate",
    "evaluate_foreign",
    "fit_detector",
    "library_versions",
    "train_network",
]

log = logging.getLogger(__name__)

_EVALUATION_BATCH = 64


def train_network(
    channels: Channels, parameters: Hyperparameters, stop_asked: Callable[[], bool]
) -> tuple[keras.Model, Fit]:
    """Train a network on the train channel and keep the epoch that is best on val.

    Returns:
        The network as it will be served (float32, no augmentation), and how training went.
    """
    keras.utils.set_random_seed(parameters.seed)
    names = channels.class_names
    # Without augmentation, which draws random numbers even when idle, and in float32, whatever
    # type training computes in.
    served = build_network(parameters.model_copy(update={"augment": False}), len(names))
    log.info("Network %s: %d parameters", served.name, served.count_params())
    policy = _mixed_policy() if parameters.mixed_precision else "float32"
    keras.mixed_precision.set_global_policy(policy)
    network = build_network(parameters, len(names))
    train = training_batches(
        channels.train.pixels,
        label_indices(channels.train, names),
        parameters.batch_size,
        parameters.seed,
    )
    trainer = Trainer(network, served, parameters)
    fitted = fit(trainer, train, _validation(channels), parameters, stop_asked, _print_metrics)
    keras.mixed_precision.set_global_policy("float32")
    log.info("Training ended: %s; epoch %d is kept", fitted.ended, fitted.best.epoch)
    return served, fitted


def calibrate(network: keras.Model, channels: Channels) -> float:
    """Fit the temperature on the val channel."""
    labels = label_indices(channels.val, channels.class_names)
    temperature = fit_temperature(network_logits(network, _validation(channels)), labels)
    log.info("Temperature fitted on val: %.3f", temperature)
    return temperature


def fit_detector(network: keras.Model, channels: Channels, parameters: Hyperparameters) -> Detector:
    """Fit the detector of foreign pictures on the train channel, its threshold on val."""
    train, val = _one_of_each_group(channels.train), _one_of_each_group(channels.val)
    return fit_on_pixels(network, train, val, parameters.seed)


def evaluate_foreign(
    servable: Servable, threshold: float, channels: Channels, parameters: Hyperparameters
) -> ForeignFigures:
    """Measure the detector on the test channel's scans, or on val's where there is none."""
    table = channels.val if channels.test is None else channels.test
    scores = artifact.as_scores(servable.serving_scores)
    # The two seeds before this one drew the pictures that the detector was fitted on.
    figures = foreign_figures(scores, threshold, table.pixels, parameters.seed + 2)
    log.info(
        "Foreign pictures: AUROC %.4f; %.1f %% of %d scans are refused",
        figures.auroc,
        100 * figures.false_alarms,
        figures.scans,
    )
    return figures


def evaluate(servable: Servable, channels: Channels) -> Evaluation:
    """Predict the test channel, or val where there is none, as the saved model will."""
    table, channel = channels.test, "test"
    if table is None:
        table, channel = channels.val, "val"
        log.warning("No test channel: figures are on val, which chose the epoch, so too high")
    predict = artifact.as_predict(servable.serving_default)
    evaluation = evaluate_table(predict, table, channels.class_names, channel)
    log.info("Accuracy on %s: %.4f of %d scans", channel, evaluation.accuracy, len(table))
    return evaluation


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


def _one_of_each_group(table: ScanTable) -> NDArray[np.uint8]:
    _, rows = np.unique(table.groups, return_index=True)
    return table.pixels[rows]


def _validation(channels: Channels) -> tf.data.Dataset:
    labels = label_indices(channels.val, channels.class_names)
    return evaluation_batches(channels.val.pixels, labels, _EVALUATION_BATCH)


def _mixed_policy() -> str:
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"


def _print_metrics(epoch: Epoch) -> None:
    # On stdout and flushed: the platform matches its metric definitions against it live.
    print(epoch.metric_line(), flush=True)
