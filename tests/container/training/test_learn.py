"""training.learn: training with the real network."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from tensorflow.core.protobuf import saved_model_pb2

from brain_tumor import artifact
from brain_tumor.data.table import label_indices
from brain_tumor.serving.engine import load_engine
from brain_tumor.training import learn
from brain_tumor.training.checkpoints import pack, unpack
from brain_tumor.training.distillation import teach
from brain_tumor.training.export import Servable
from brain_tumor.training.fit import network_logits
from brain_tumor.training.metrics import (
    LEAK_FREE_ACCURACY,
    METRIC_DEFINITIONS,
    TEST_ACCURACY,
    Epoch,
)
from brain_tumor.training.network import build_network
from brain_tumor.training.pipeline import validation_batches
from brain_tumor.training.precision import BFLOAT16, Precision
from brain_tumor.training.record import Past, Record
from brain_tumor.training.schedule import Schedule
from brain_tumor.training.soup import train_soup
from tests.classifiers import model_info
from tests.learnt import PARAMETERS, Learnt


def test_the_real_network_learns_what_can_be_learnt(learnt: Learnt) -> None:
    first, last = learnt.training.epochs[0], learnt.training.epochs[-1]
    # Smoothed labels keep the training loss of two classes above 0.117.
    assert last.train_loss < 0.75 * first.train_loss
    assert learnt.training.validation.loss < 0.1
    assert learnt.training.validation.accuracy == 1.0


# With fewer lessons it is chance whether so few steps have settled.
@pytest.mark.parametrize("lessons", [0, 4])
def test_a_soup_learns_it_too_and_serves_the_weights_it_reports(
    lessons: int, learnt: Learnt
) -> None:
    parameters = PARAMETERS.model_copy(update={"members": 2, "epochs": 9, "lessons": lessons})
    parameters = parameters.model_copy(update={"mixed_precision": None})
    # As a job does that was killed: in the type in which it began.
    before = Precision(BFLOAT16, why="it was faster")
    kept: list[Past] = []
    record = Record(Past(precision=before), kept.append)
    network, training = learn.train_network(
        learnt.channels, parameters, lambda: False, record=record
    )
    assert {training.precision, *(past.precision for past in kept)} == {before}
    assert [len(fitted.epochs) for fitted in training.members] == [5, 4]
    assert (len(training.taught.epochs) if training.taught else 0) == lessons
    assert training.kept is training.taught
    assert [epoch.epoch for epoch in training.epochs] == list(range(1, 10 + lessons))
    logits = network_logits(network, validation_batches(learnt.channels))
    labels = label_indices(learnt.channels.val, learnt.channels.class_names)
    right = float((logits.argmax(axis=1) == labels).mean())
    assert right == pytest.approx(training.validation.accuracy)
    assert training.validation.accuracy == 1.0


def test_a_job_that_was_killed_in_the_second_member_or_in_a_lesson_ends_with_the_same_bits(
    learnt: Learnt,
) -> None:
    parameters = PARAMETERS.model_copy(update={"members": 2, "epochs": 5, "lessons": 2})
    kept: list[Past] = []

    def write(past: Past) -> None:
        # As it is read from a checkpoint.
        kept.append(unpack(pack(past)))

    def train(record: Record) -> tuple[list[Epoch], list[NDArray[np.float32]]]:
        network, training = learn.train_network(
            learnt.channels, parameters, lambda: False, record=record
        )
        assert training.taught is not None
        return [replace(epoch, seconds=0) for epoch in training.epochs], network.get_weights()

    epochs, weights = train(Record(write=write))
    assert [len(past.finished) for past in kept] == [0, 0, 0, 1, 1, 2, 2]
    for past in (kept[3], kept[5]):
        assert past.loop is not None
        again, others = train(Record(past))
        assert again == epochs
        for array, wanted in zip(others, weights, strict=True):
            np.testing.assert_array_equal(array, wanted)


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


def test_what_was_trained_in_bfloat16_is_served_in_float32_by_both_engines(
    learnt: Learnt, tmp_path: Path
) -> None:
    assert learnt.training.precision == Precision(BFLOAT16, why="mixed-precision=true")
    assert keras.mixed_precision.global_policy().name == "float32"
    val, size = learnt.channels.val.pixels[:], PARAMETERS.image_size
    info = model_info(class_names=learnt.channels.class_names, image_size=size)
    artifact.save(tmp_path, Servable(learnt.network, 1.0, size), info)
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "1/saved_model.pb").read_bytes())
    # No attribute of an operation, no constant, no variable.
    (graph,) = saved.meta_graphs
    written = f"{graph.graph_def} {graph.object_graph_def}"
    assert "DT_FLOAT" in written
    assert not re.search("DT_BFLOAT16|DT_HALF", written)
    # The network of these weights, built anew.
    plain = build_network(PARAMETERS, 2)
    plain.set_weights(learnt.network.get_weights())
    wanted = softmax(np.asarray(plain(val[..., np.newaxis], training=False)), axis=1)
    clear = wanted.max(axis=1) >= artifact.CLEAR
    assert clear.sum() >= 6
    for engine in ("tensorflow", "openvino"):
        given = load_engine(tmp_path, engine, "float32").scores(val).probabilities
        np.testing.assert_allclose(given[clear], wanted[clear], atol=1e-5, err_msg=engine)


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
