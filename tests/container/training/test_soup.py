"""training.soup: several trainings from one start, and the mean of their weights."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from brain_tumor.training import soup
from brain_tumor.training.metrics import Epoch, Fit, Training, Validation
from brain_tumor.training.record import Record
from brain_tumor.training.schedule import Schedule
from brain_tumor.training.soup import member_schedules, train_soup

Weights = list[NDArray[np.float32]]


class _Trainer:
    """What a soup uses of a trainer: weights to begin from, the averaged ones, their figures."""

    def __init__(self, mean_accuracy: float = 0.9) -> None:
        self.network = self.averaged = self
        self.has_new_head = True
        self.begun: list[Weights] = []
        self.weights: Weights = [
            np.zeros(2, np.float32),
            np.arange(20, dtype=np.float32).reshape(5, 4),  # the head's kernel
            np.ones(4, np.float32),
        ]
        self.mean_accuracy = mean_accuracy
        self.of_members: list[Weights] = []

    def begin(self, weights: Weights) -> None:
        self.begun.append(weights)
        self.weights = weights

    def get_weights(self) -> Weights:
        return self.weights

    def set_weights(self, weights: Weights) -> None:
        self.weights = weights

    def validate(self, _val: Any) -> Validation:
        return Validation(0.5, self.mean_accuracy)


class _Loops:
    """Stands for `fit`: each call moves the weights and scores what it was told to score."""

    def __init__(self, accuracies: list[float], seconds: float = 0.0) -> None:
        self.accuracies, self.seconds, self.now = accuracies, seconds, 0.0
        self.schedules: list[Schedule] = []
        self.left: list[Weights] = []

    def __call__(self, trainer: _Trainer, *arguments: Any) -> Fit:
        schedule: Schedule = arguments[2]
        number = len(self.schedules)
        self.schedules.append(schedule)
        self.now += self.seconds
        trainer.weights = [array + 1 + number for array in trainer.weights]
        self.left.append(trainer.weights)
        accuracy = self.accuracies[number]
        epochs = [
            Epoch(schedule.first_epoch + n, 0.1, 1.0, 0.1, accuracy, 1e-3, 1.0)
            for n in range(schedule.epochs)
        ]
        return Fit(epochs, epochs[-1], "all epochs done")


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Loops]:
    """Give a function that puts loops of the given accuracies in the place of `fit`."""

    def put(accuracies: list[float], seconds: float = 0.0) -> _Loops:
        fake = _Loops(accuracies, seconds)
        monkeypatch.setattr(soup, "fit", fake)
        monkeypatch.setattr(time, "monotonic", lambda: fake.now)
        return fake

    return put


def _train(
    trainer: Any, members: int, stops: int = 99, seconds: float | None = None, epochs: int = 22
) -> Training:
    asked = iter([False] * (stops - 1) + [True] * 99)
    schedule = Schedule(epochs, 5, 0.01, 9, seconds)
    nothing: Any = None
    training, trainer.of_members = train_soup(
        trainer, nothing, nothing, schedule, members, lambda: next(asked), print, Record()
    )
    return training


def _assert_same(weights: Weights, wanted: Weights) -> None:
    for array, want in zip(weights, wanted, strict=True):
        np.testing.assert_allclose(array, want)


def test_the_mean_of_the_members_is_kept(
    loops: Callable[..., _Loops],
) -> None:
    trainer, fake = _Trainer(), loops([0.9, 0.9, 0.9])
    training = _train(trainer, members=3)
    _assert_same(
        trainer.averaged.get_weights(),
        [sum(arrays) / 3 for arrays in zip(*fake.left, strict=True)],
    )
    for returned, left in zip(trainer.of_members, fake.left, strict=True):
        _assert_same(returned, left)
    assert training.kept is None
    assert training.kept_epochs == [fitted.kept.epoch for fitted in training.members]
    assert training.mean == training.validation == Validation(0.5, 0.9)


def test_members_begin_with_one_backbone_and_a_head_of_their_own(
    loops: Callable[..., _Loops],
) -> None:
    begun = []
    for _ in range(2):
        trainer, _fake = _Trainer(), loops([0.9, 0.9, 0.9])
        start = trainer.get_weights()
        _train(trainer, members=3)
        begun.append(trainer.begun)
    first, *others = begun[0]
    _assert_same(first, start)
    for backbone, kernel, bias in others:
        _assert_same([backbone, bias], [start[0], start[2]])
        np.testing.assert_array_equal(np.sort(kernel, axis=None), np.arange(20))
    kernels = [member[1] for member in begun[0]]
    assert len({kernel.tobytes() for kernel in kernels}) == 3
    # The same job gives the same model.
    _assert_same(kernels, [member[1] for member in begun[1]])


def test_members_that_go_on_from_a_former_model_begin_with_its_head(
    loops: Callable[..., _Loops],
) -> None:
    trainer, _fake = _Trainer(), loops([0.9, 0.9])
    trainer.has_new_head = False
    start = trainer.get_weights()
    _train(trainer, members=2)
    for begun in trainer.begun:
        _assert_same(begun, start)


def test_one_member_is_one_training_of_all_epochs(loops: Callable[..., _Loops]) -> None:
    trainer, fake = _Trainer(), loops([0.9])
    training = _train(trainer, members=1, epochs=7)
    assert [epoch.epoch for epoch in training.epochs] == list(range(1, 8))
    assert training.kept is training.members[0]
    assert (training.mean, training.kept_epochs) == (None, [7])
    assert training.validation == Validation(0.1, 0.9)
    _assert_same(trainer.averaged.get_weights(), fake.left[0])


def test_epochs_are_shared_out_and_numbered_through(loops: Callable[..., _Loops]) -> None:
    fake = loops([0.9, 0.9, 0.9])
    training = _train(_Trainer(), members=3)
    assert [epoch.epoch for epoch in training.epochs] == list(range(1, 23))
    assert [schedule.epochs for schedule in fake.schedules] == [8, 7, 7]


@pytest.mark.parametrize(
    ("accuracies", "mean", "kept"),
    [
        ([0.90, 0.91], 0.95, None),
        ([0.95, 0.94], 0.94, None),  # A few scans of a few hundred say nothing.
        ([0.95, 0.94], 0.92, 0),
        ([0.90, 0.95], 0.30, 1),
    ],
)
def test_the_mean_is_kept_unless_it_is_clearly_worse_than_the_best_member(
    accuracies: list[float], mean: float, kept: int | None, loops: Callable[..., _Loops]
) -> None:
    trainer, fake = _Trainer(mean), loops(accuracies)
    training = _train(trainer, members=2)
    assert training.kept is (None if kept is None else training.members[kept])
    assert training.mean == Validation(0.5, mean)
    if kept is not None:
        _assert_same(trainer.averaged.get_weights(), fake.left[kept])
        assert training.kept_epochs == [training.members[kept].kept.epoch]
        assert training.validation.accuracy == accuracies[kept]


@pytest.mark.parametrize(("stops", "members", "kept"), [(1, 1, 0), (2, 2, 1)])
def test_a_stopped_training_keeps_the_best_member_so_far(
    stops: int, members: int, kept: int, loops: Callable[..., _Loops]
) -> None:
    trainer, fake = _Trainer(), loops([0.90, 0.91, 0.95])
    training = _train(trainer, members=3, stops=stops)
    assert (len(training.members), training.mean) == (members, None)
    assert training.kept is training.members[kept]
    _assert_same(trainer.averaged.get_weights(), fake.left[kept])


def test_the_time_is_divided_by_epochs_and_what_a_member_leaves_goes_to_the_next(
    loops: Callable[..., _Loops],
) -> None:
    fake = loops([0.9, 0.9, 0.9], seconds=80)
    _train(_Trainer(), members=3, epochs=24, seconds=240)
    # A third of 240 s; half of the 160 s after that; all of the 80 s after that.
    assert [schedule.seconds for schedule in fake.schedules] == pytest.approx([80, 80, 80])
    fake = loops([0.9, 0.9, 0.9], seconds=20)
    _train(_Trainer(), members=3, epochs=24, seconds=240)
    assert [schedule.seconds for schedule in fake.schedules] == pytest.approx([80, 110, 200])


def test_a_member_after_the_time_is_over_gets_none(loops: Callable[..., _Loops]) -> None:
    fake = loops([0.9, 0.9], seconds=300)
    _train(_Trainer(), members=2, seconds=260)
    assert [schedule.seconds for schedule in fake.schedules] == pytest.approx([130, 0])


@given(st.integers(1, 16).flatmap(lambda m: st.tuples(st.just(m), st.integers(m, 10_000))))
def test_every_member_has_an_epoch_and_all_have_as_many_as_asked_for(
    members_and_epochs: tuple[int, int],
) -> None:
    members, epochs = members_and_epochs
    shares = member_schedules(Schedule(epochs, 5, 0.01, 9), members)
    counts = [share.epochs for share in shares]
    assert len(counts) == members
    assert sum(counts) == epochs
    assert 1 <= min(counts) <= max(counts) <= min(counts) + 1
