"""training.learn: training with the real network."""

import re
import time
from collections.abc import Callable
from typing import Any

import keras
import pytest

from brain_tumor.training import learn
from brain_tumor.training.distillation import teach
from brain_tumor.training.evaluation import label_indices
from brain_tumor.training.fit import network_logits
from brain_tumor.training.metrics import LEAK_FREE_ACCURACY, METRIC_DEFINITIONS, TEST_ACCURACY
from brain_tumor.training.pipeline import validation_batches
from brain_tumor.training.schedule import Schedule
from brain_tumor.training.soup import train_soup
from tests.learnt import PARAMETERS, Learnt


def test_the_real_network_learns_what_can_be_learnt(learnt: Learnt) -> None:
    first, last = learnt.training.epochs[0], learnt.training.epochs[-1]
    # Smoothed labels keep the training loss of two classes above 0.117.
    assert last.train_loss < 0.75 * first.train_loss
    assert learnt.training.validation.loss < 0.1
    assert learnt.training.validation.accuracy == 1.0


@pytest.mark.parametrize("lessons", [0, 2])
def test_a_soup_learns_it_too_and_serves_the_weights_it_reports(
    lessons: int, learnt: Learnt
) -> None:
    parameters = PARAMETERS.model_copy(update={"members": 2, "epochs": 9, "lessons": lessons})
    network, training = learn.train_network(learnt.channels, parameters, lambda: False)
    assert [len(fitted.epochs) for fitted in training.members] == [5, 4]
    assert (len(training.taught.epochs) if training.taught else 0) == lessons
    assert training.kept is training.taught
    assert [epoch.epoch for epoch in training.epochs] == list(range(1, 10 + lessons))
    logits = network_logits(network, validation_batches(learnt.channels))
    labels = label_indices(learnt.channels.val, learnt.channels.class_names)
    right = float((logits.argmax(axis=1) == labels).mean())
    assert right == pytest.approx(training.validation.accuracy)
    assert training.validation.accuracy == 1.0


def test_lessons_get_the_time_that_they_cost_and_what_the_members_leave(
    learnt: Learnt, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = PARAMETERS.model_copy(update={"members": 2, "epochs": 6, "lessons": 3})
    schedules: list[Schedule] = []

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            schedules.extend(a for a in arguments if isinstance(a, Schedule))
            return function(*arguments)

        return call

    monkeypatch.setattr(learn, "train_soup", keep(train_soup))
    monkeypatch.setattr(learn, "teach", keep(teach))
    start = time.monotonic()
    learn.train_network(learnt.channels, parameters, lambda: False, seconds=1200)
    took = time.monotonic() - start
    members, lessons = schedules
    # An epoch in which two members are asked too costs two.
    assert members.seconds == pytest.approx(1200 * 6 / (6 + 2 * 3))
    assert lessons.seconds is not None
    assert 1200 - took <= lessons.seconds < 1200
    assert (lessons.epochs, lessons.first_epoch) == (3, 7)
    assert lessons.peak_rate < members.peak_rate


def test_what_is_served_is_in_float32(learnt: Learnt) -> None:
    assert {layer.compute_dtype for layer in learnt.network.layers} == {"float32"}
    assert keras.mixed_precision.global_policy().name == "float32"


def test_every_epoch_prints_one_line_that_the_metric_definitions_match(learnt: Learnt) -> None:
    assert learnt.printed.splitlines() == [epoch.metric_line() for epoch in learnt.training.epochs]
    for definition in METRIC_DEFINITIONS:
        at_the_end = definition["Name"] in (TEST_ACCURACY, LEAK_FREE_ACCURACY)
        wanted = 0 if at_the_end else len(learnt.training.epochs)
        assert len(re.findall(definition["Regex"], learnt.printed)) == wanted


def test_the_versions_name_what_a_model_depends_on() -> None:
    versions = learn.library_versions()
    assert set(versions) == {"brain_tumor", "python", "tensorflow", "keras", "numpy", "pillow"}
    assert all(re.match(r"\d+\.\d+", version) for version in versions.values())
