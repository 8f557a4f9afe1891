"""What follows training: calibrate on val, learn what is foreign, measure on test.

Everything is measured on the very functions that are saved afterwards.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from brain_tumor import artifact, scoring
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.table import ScanTable, label_indices
from brain_tumor.training import abstention, quality
from brain_tumor.training.calibration import fit_temperature
from brain_tumor.training.channels import Channels
from brain_tumor.training.evaluation import (
    Evaluation,
    ForeignFigures,
    evaluate_model,
    evaluate_table,
    overlap,
)
from brain_tumor.training.export import Servable
from brain_tumor.training.fit import network_logits
from brain_tumor.training.foreign import detector as foreign
from brain_tumor.training.foreign.detector import Detector
from brain_tumor.training.foreign.feature_maps import watch
from brain_tumor.training.foreign.figures import foreign_figures
from brain_tumor.training.foreign.sketch import vary
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.pipeline import validation_batches
from brain_tumor.training.quality import Findings
from brain_tumor.training.quantisation import quantised
from brain_tumor.training.robustness import Robustness, measure_robustness

log = logging.getLogger(__name__)

_BATCH = 64
_SCANS_TO_CALIBRATE = 256
_SCANS_IN_A_HURRY = 100
"""That the detector is fitted and measured on when a job was asked to stop."""
_VARIED_COPIES = 3
FEWEST_OF_A_MEAN = 20
"""Scans of different groups whose mean shows none of them."""
_SEEDS_OF_FITTING = 2
"""The job's seed and the next one drew the pictures that the detector was fitted on."""


def calibrate(network: keras.Model, channels: Channels) -> float:
    """Fit the temperature on the val channel."""
    labels = label_indices(channels.val, channels.class_names)
    temperature = fit_temperature(network_logits(network, validation_batches(channels)), labels)
    log.info("Temperature fitted on val: %.3f", temperature)
    return temperature


def fit_detector(
    network: keras.Model, channels: Channels, parameters: Hyperparameters, in_a_hurry: bool = False
) -> Detector:
    """Fit the detector of foreign pictures on the train channel, its threshold on val."""
    train, val = _one_of_each_group(channels.train), _one_of_each_group(channels.val)
    if in_a_hurry:
        train, val = (_some(scans, _SCANS_IN_A_HURRY, parameters.seed) for scans in (train, val))
    return foreign.fit_detector(network, train, val, parameters.seed)


def eight_bit_copy(network: keras.Model, channels: Channels, seed: int) -> keras.Model | None:
    """Copy the network, and what the detector reads of it, in 8 bits; see `quantised`."""
    scans = _some(_one_of_each_group(channels.train), _SCANS_TO_CALIBRATE, seed)
    return quantised(watch(network), scans[:])


def choose_threshold(servable: Servable, channels: Channels) -> float:
    """Choose on the val channel below which probability an answer is `uncertain`."""
    predict = scoring.as_predict(servable.serving_default)
    probabilities = scoring.in_batches(predict, channels.val.pixels, _BATCH)
    threshold = abstention.choose_threshold(probabilities)
    log.info("Below a probability of %.3f an answer is uncertain (chosen on val)", threshold)
    return threshold


def evaluate(servable: Servable, channels: Channels, threshold: float) -> Evaluation:
    """Predict the test channel, or val where there is none, as the saved model will."""
    table, channel, seen = channels.test, "test", [channels.train, channels.val]
    if table is None:
        table, channel, seen = channels.val, "val", [channels.train]
        log.warning("No test channel: figures are on val, which chose the epoch, so too high")
    predict = scoring.as_predict(servable.serving_default)
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
    predict = scoring.as_predict(servable.serving_default)
    return measure_robustness(predict, evaluation, stop_asked)


def evaluate_foreign(
    servable: Servable,
    threshold: float,
    channels: Channels,
    parameters: Hyperparameters,
    in_a_hurry: bool = False,
) -> ForeignFigures:
    """Measure the detector on the test channel's scans, or on val's where there is none."""
    scans = (channels.val if channels.test is None else channels.test).pixels
    scores = scoring.as_scores(servable.serving_scores)
    seed = parameters.seed + _SEEDS_OF_FITTING
    if in_a_hurry:
        scans = _some(scans, _SCANS_IN_A_HURRY, seed)
    figures = foreign_figures(scores, threshold, scans, seed)
    log.info(
        "Foreign pictures: AUROC %.4f; %.1f %% of %d scans are refused",
        figures.auroc,
        100 * figures.false_alarms,
        figures.scans,
    )
    return figures


def assess_model(model_dir: Path, source: Path) -> Findings:
    """Measure a model folder on every readable scan of an archive, as a job measures its own.

    Raises:
        ArtifactError: the folder is no model.
        DataError: the archive cannot be read, or holds a class that the model has not.
    """
    evaluation, info, predict = evaluate_model(model_dir, source)
    foreign_threshold, figures = info.thresholds.get("foreign"), None
    if foreign_threshold is not None:
        scores = artifact.load_scores(model_dir)
        seed = int(info.hyperparameters.get("seed", 0)) + _SEEDS_OF_FITTING
        figures = foreign_figures(scores, foreign_threshold, evaluation.pixels, seed)
    robustness = measure_robustness(predict, evaluation, lambda: False)
    return quality.find(evaluation, info, robustness, figures)


def check_images(channels: Channels, seed: int) -> NDArray[np.uint8] | None:
    """Make the images of the artifact's check: each class's mean training scan, and varied copies.

    They go wherever the model goes, so none of them may show a patient: a mean is made of one scan
    of each near-duplicate group, and of twenty groups at least.

    Returns:
        (n, size, size); None where no class has so many groups.
    """
    table, random = channels.train, np.random.default_rng(seed)
    _, rows = np.unique(table.groups, return_index=True)
    labels = np.array(table.labels)[rows]
    by_class = [table.pixels.rows(rows[labels == name]) for name in channels.class_names]
    means = [
        np.rint(sum(block.sum(axis=0) for block in scans.blocks()) / len(scans)).astype(np.uint8)
        for scans in by_class
        if len(scans) >= FEWEST_OF_A_MEAN
    ]
    copies = [vary(mean, random) for mean in means for _ in range(_VARIED_COPIES)]
    return np.stack(means + copies) if means else None


def _one_of_each_group(table: ScanTable) -> StoredPixels:
    _, rows = np.unique(table.groups, return_index=True)
    return table.pixels.rows(rows)


def _some(scans: StoredPixels, most: int, seed: int) -> StoredPixels:
    chosen = np.random.default_rng(seed).permutation(len(scans))[:most]
    return scans.rows(np.sort(chosen))
