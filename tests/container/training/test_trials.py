"""training.trials: what is in doubt is measured, and nothing of it is left."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow import errors

from brain_tumor.training.cluster import ALONE
from brain_tumor.training.fit import Trainer
from brain_tumor.training.precision import BFLOAT16, FLOAT32, Precision
from brain_tumor.training.strategy import Part
from brain_tumor.training.trials import any_batch, choose
from tests.loops import Run, parameters

PARAMETERS = parameters(dropout=0.2)
BATCH = any_batch(PARAMETERS, Part())


@dataclass
class _Machine:
    """A machine on which steps take as long as is said, and some types cannot be computed in."""

    monkeypatch: pytest.MonkeyPatch
    seconds: dict[str, float]
    fails: str = ""
    error: Exception = field(default_factory=lambda: errors.NotFoundError(None, None, "no kernel"))
    really: bool = False
    """Whether steps are taken, not only their time."""
    clock: float = 0.0
    made: list[str] = field(default_factory=list)

    def make_trainer(self, precision: Precision) -> Trainer:
        """Make a trainer with random weights, as each build of a network has others."""
        trainer = Run(PARAMETERS).trainer
        self.made.append(precision.policy)
        keras.utils.set_random_seed(len(self.made))
        trainer.begin([np.random.normal(size=w.shape) for w in trainer.network.get_weights()])
        step = trainer.train_step

        def timed(images: tf.Tensor, labels: tf.Tensor) -> None:
            if precision.policy == self.fails:
                raise self.error
            if self.really:
                step(images, labels)
            self.clock += self.seconds[precision.policy]

        self.monkeypatch.setattr(trainer, "train_step", timed)
        return trainer

    def choose(
        self,
        first: str = FLOAT32,
        other: str | None = BFLOAT16,
        seconds: float | None = None,
        stop_asked: Callable[[], bool] = lambda: False,
    ) -> tuple[Precision, Trainer]:
        self.monkeypatch.setattr(time, "process_time", lambda: self.clock)
        rival = Precision(other) if other else None
        told = Precision(first), rival, self.make_trainer, BATCH, 10_000, seconds
        return choose(*told, stop_asked, ALONE)


def _machine(monkeypatch: pytest.MonkeyPatch, bfloat16: float, fails: str = "") -> _Machine:
    return _Machine(monkeypatch, {FLOAT32: 0.5, BFLOAT16: bfloat16}, fails)


def _assert_same(one: Trainer, other: Trainer) -> None:
    theirs = other.state()
    for name, arrays in one.state().items():
        for ours, their in zip(arrays, theirs[name], strict=True):
            np.testing.assert_array_equal(ours, their, err_msg=name)


@pytest.mark.parametrize(
    ("bfloat16", "wanted"), [(0.357, BFLOAT16), (0.46, FLOAT32), (0.63, FLOAT32)]
)
def test_the_other_type_is_taken_where_it_is_clearly_faster_and_the_figures_are_told(
    bfloat16: float, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = _machine(monkeypatch, bfloat16)
    chosen, trainer = machine.choose()
    assert chosen.policy == wanted
    figures = f"500 ms in float32 and {1000 * bfloat16:.0f} ms in bfloat16"
    assert chosen.why == f"a step takes {figures} (medians of 5)"
    # The first one's weights.
    _assert_same(trainer, _machine(monkeypatch, bfloat16).make_trainer(Precision()))


@pytest.mark.parametrize("bfloat16", [0.1, 1.0])
def test_of_the_steps_that_were_tried_nothing_is_left(
    bfloat16: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = _machine(monkeypatch, bfloat16)
    machine.really = True
    _, trainer = machine.choose()
    # Weights, averages, counters, figures, random numbers.
    _assert_same(trainer, _machine(monkeypatch, bfloat16).make_trainer(Precision()))


@pytest.mark.parametrize(("seconds", "stopped"), [(100.0, False), (None, True)])
def test_what_is_short_or_stopped_is_not_held_up(
    seconds: float | None, stopped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = _machine(monkeypatch, 0.1)
    chosen, _ = machine.choose(seconds=seconds, stop_asked=lambda: stopped)
    assert chosen.policy == FLOAT32
    assert chosen.why == "bfloat16 is not tried where training takes less than 120 s"
    assert machine.made == [FLOAT32]


def test_what_is_not_in_doubt_costs_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = _machine(monkeypatch, 0.1)
    assert machine.choose(other=None)[0] == Precision()
    assert machine.clock == 0


@pytest.mark.parametrize(("first", "other"), [(BFLOAT16, None), (FLOAT32, BFLOAT16)])
def test_a_type_that_cannot_be_computed_in_is_left_for_float32(
    first: str,
    other: str | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = _machine(monkeypatch, 0.1, fails=BFLOAT16)
    chosen, trainer = machine.choose(first, other)
    assert chosen == Precision(why="steps in bfloat16 fail here")
    assert "Training steps in bfloat16 fail: no kernel" in caplog.text
    assert int(trainer.optimizer.iterations) == 0


def test_an_error_that_is_no_matter_of_types_ends_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = _machine(monkeypatch, 0.1, fails=BFLOAT16)
    machine.error = errors.UnavailableError(None, None, "Connection reset by peer")
    with pytest.raises(errors.UnavailableError):
        machine.choose()


def test_a_host_tries_its_own_part_of_a_batch() -> None:
    images, labels = any_batch(PARAMETERS, Part(1, 3))
    assert images.shape == (3, 32, 32, 1)
    assert labels.shape == (3,)
