"""training.fit: the training loop."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from brain_tumor.errors import BrainTumorError
from brain_tumor.training import fit as module
from brain_tumor.training.fit import Trainer, fit, network_logits
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Epoch, Fit, Validation
from brain_tumor.training.pipeline import evaluation_batches, training_batches
from brain_tumor.training.sampling import Sampler
from brain_tumor.training.schedule import Progress, Schedule

SIZE = 32
Data = tuple[NDArray[np.uint8], NDArray[np.int32]]


def _bright_and_dark(count: int, seed: int) -> Data:
    """Draw scans that one look at their brightness tells apart."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 2
    base = np.where(labels == 1, 170, 60)[:, None, None]
    return (base + random.integers(-40, 41, (count, SIZE, SIZE))).astype(np.uint8), labels


TRAIN, VAL = _bright_and_dark(40, 0), _bright_and_dark(12, 1)


def _sampler() -> Sampler:
    """Draw the training scans, each a picture of its own."""
    labels = [str(label) for label in TRAIN[1]]
    numbers = np.arange(len(labels), dtype=np.int32)
    return Sampler(numbers, numbers, labels, seed=0)


def _small_network() -> keras.Model:
    """Build the least that can be trained; it has a kernel, a bias and moving averages."""
    images = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.BatchNormalization()(x)
    return keras.Model(images, keras.layers.Dense(2)(x))


@dataclass
class Run:
    """One call of `fit` and what can be seen of it."""

    parameters: Hyperparameters
    val: Data = VAL
    seconds: float | None = None
    stop_asked: Callable[["Run"], bool] = lambda _: False
    reported: list[Epoch] = field(default_factory=list)
    weights: list[list[NDArray[Any]]] = field(default_factory=list)
    """The averaged weights at the end of each epoch."""

    def __post_init__(self) -> None:
        keras.utils.set_random_seed(0)
        self.trainer = Trainer(_small_network(), _small_network(), self.parameters)

    @property
    def steps(self) -> int:
        """Training steps so far."""
        return int(self.trainer.optimizer.iterations)

    def __call__(self) -> Fit:
        def report(epoch: Epoch) -> None:
            self.reported.append(epoch)
            self.weights.append(self.trainer.averaged.get_weights())

        return fit(
            self.trainer,
            iter(training_batches(*TRAIN, _sampler(), self.parameters.batch_size, None)),
            evaluation_batches(*self.val, 8),
            Schedule(
                self.parameters.most_epochs,
                5,
                self.parameters.peak_rate,
                self.parameters.patience,
                self.seconds,
            ),
            lambda: self.stop_asked(self),
            report,
        )


def _parameters(**changes: Any) -> Hyperparameters:
    values = {"image_size": SIZE, "batch_size": 8, "epochs": 4, "learning_rate": 0.1, **changes}
    # Not checked, so that a learning rate may be absurd.
    return Hyperparameters().model_copy(update=values)


def test_training_lowers_the_loss_until_all_is_right() -> None:
    fitted = Run(_parameters(epochs=6))()
    assert fitted.epochs[-1].train_loss < 0.5 * fitted.epochs[0].train_loss
    assert fitted.kept.val_accuracy == 1.0


def test_every_epoch_is_reported_as_it_ends_and_kept() -> None:
    run = Run(_parameters(epochs=3))
    fitted = run()
    assert fitted.epochs == run.reported
    assert [epoch.epoch for epoch in fitted.epochs] == [1, 2, 3]
    assert fitted.ended == "all epochs done"
    assert run.steps == 3 * 5
    for epoch in fitted.epochs:
        assert 0 <= epoch.train_accuracy <= 1
        assert 0 < epoch.learning_rate <= 0.1
    rates = [epoch.learning_rate for epoch in fitted.epochs]
    assert rates == sorted(rates, reverse=True)


def _scripted(accuracies: list[float], **parameters: Any) -> tuple[Run, Fit]:
    """Run a loop whose epochs score what they are told to."""
    run = Run(_parameters(epochs=len(accuracies), **parameters))
    scores = (Validation(0.5, accuracy) for accuracy in accuracies)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.trainer, "validate", lambda _: next(scores))
        return run, run()


def _assert_holds(run: Run, number: int) -> None:
    for kept, then in zip(run.trainer.averaged.get_weights(), run.weights[number - 1], strict=True):
        np.testing.assert_array_equal(kept, then)


@pytest.mark.parametrize(
    ("accuracies", "kept"),
    [
        ([0.5, 0.9, 0.96], 3),
        ([0.5, 0.96, 0.95], 3),  # a few scans of a few hundred say nothing
        ([0.5, 0.96, 0.93], 2),
        ([0.96, 0.5, 0.96, 0.5], 1),
    ],
)
def test_a_finished_schedule_keeps_its_last_epoch_unless_it_is_clearly_worse(
    accuracies: list[float], kept: int
) -> None:
    run, fitted = _scripted(accuracies)
    assert (fitted.kept.epoch, fitted.ended) == (kept, "all epochs done")
    _assert_holds(run, kept)


def test_a_loop_that_is_ended_early_keeps_its_best_epoch() -> None:
    run, fitted = _scripted([0.5, 0.96, 0.955, 0.955, 0.955], patience=2)
    assert len(fitted.epochs) == 4
    assert fitted.kept.epoch == 2
    _assert_holds(run, 2)


def test_what_is_kept_scores_what_its_epoch_reported() -> None:
    run = Run(_parameters(epochs=3))
    best = run().kept
    logits = network_logits(run.trainer.averaged, evaluation_batches(*VAL, 5))
    losses = keras.losses.sparse_categorical_crossentropy(VAL[1], logits, from_logits=True)
    assert float(np.mean(losses)) == pytest.approx(best.val_loss, rel=1e-4)
    assert float((logits.argmax(axis=1) == VAL[1]).mean()) == pytest.approx(best.val_accuracy)


def test_training_ends_after_patience_epochs_without_a_better_accuracy() -> None:
    run = Run(_parameters(epochs=50, patience=2), val=(VAL[0], 1 - VAL[1]))
    fitted = run()
    assert fitted.ended == "no better validation accuracy for 2 epochs"
    assert len(fitted.epochs) == fitted.kept.epoch + 2 < 50


def test_unless_patience_is_set_the_whole_schedule_runs() -> None:
    run = Run(_parameters(epochs=20), val=(VAL[0], 1 - VAL[1]))
    fitted = run()
    # No epoch is better than the first: none of these scans is ever right.
    assert {epoch.val_accuracy for epoch in fitted.epochs[1:]} == {0.0}
    assert (len(fitted.epochs), fitted.ended) == (20, "all epochs done")


@pytest.mark.parametrize("after", [1, 5, 7])
def test_when_asked_to_stop_training_ends_after_the_current_step_with_figures(after: int) -> None:
    run = Run(_parameters(epochs=50), stop_asked=lambda run: run.steps >= after)
    fitted = run()
    assert fitted.ended == "asked to stop"
    assert run.steps == after
    assert len(fitted.epochs) == -(-after // 5)
    assert np.isfinite(fitted.kept.val_loss)


@pytest.fixture
def two_minutes_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let two minutes pass each time the loop looks at the clock."""
    clock = partial(next, itertools.count(0, 120))
    monkeypatch.setattr(module, "Progress", partial(Progress, clock=clock))


@pytest.mark.usefixtures("two_minutes_a_look")
def test_a_time_budget_ends_training_within_an_epoch_and_says_so() -> None:
    # Looked at twice a step and once an epoch: 14 minutes are over in the fourth step.
    run = Run(_parameters(epochs=50), seconds=14 * 60)
    fitted = run()
    assert fitted.ended == "the 840 seconds for training are used up"
    assert (len(fitted.epochs), run.steps) == (1, 4)
    assert fitted.kept.learning_rate < 0.1


@pytest.mark.usefixtures("two_minutes_a_look")
def test_a_budget_longer_than_all_epochs_changes_nothing() -> None:
    fitted = Run(_parameters(epochs=2), seconds=6_000_000)()
    assert (len(fitted.epochs), fitted.ended) == (2, "all epochs done")


def test_a_loss_that_is_no_number_ends_the_job_with_a_sentence() -> None:
    run = Run(_parameters(learning_rate=1e38))
    with pytest.raises(BrainTumorError, match=r"no longer a number in epoch 1.*try a tenth") as at:
        run()
    assert "learning-rate=1e+38 is too high" in str(at.value)
    assert run.reported == []


def test_the_averaged_weights_follow_the_trained_ones() -> None:
    run = Run(_parameters())
    trainer = run.trainer
    visited = [trainer.network.get_weights()]
    images = tf.constant(TRAIN[0][:8, ..., np.newaxis], tf.float32)
    for _ in range(3):
        trainer.train_step(images, tf.constant(TRAIN[1][:8]))
        visited.append(trainer.network.get_weights())
    for mean, *path in zip(trainer.averaged.get_weights(), *visited, strict=True):
        assert not np.array_equal(path[0], path[-1])
        assert not np.array_equal(mean, path[0])
        assert not np.array_equal(mean, path[-1])
        assert (mean >= np.min(path, axis=0) - 1e-6).all()
        assert (mean <= np.max(path, axis=0) + 1e-6).all()


def test_biases_and_scales_are_not_decayed() -> None:
    trainer = Run(_parameters(weight_decay=0.5)).trainer
    decayed = {
        variable.name
        for variable in trainer.network.trainable_variables
        if trainer.optimizer._use_weight_decay(variable)
    }
    assert decayed == {"kernel"}


def test_a_trainer_that_begins_again_repeats_its_steps() -> None:
    trainer = Run(_parameters()).trainer
    start = trainer.network.get_weights()
    images = tf.constant(TRAIN[0][:8, ..., np.newaxis], tf.float32)
    ends = []
    for _ in range(2):
        trainer.begin(start)
        for _ in range(3):
            trainer.train_step(images, tf.constant(TRAIN[1][:8]))
        ends.append([*trainer.network.get_weights(), *trainer.averaged.get_weights()])
    for first, second in zip(*ends, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5)


def test_on_a_pretrained_backbone_the_head_takes_steps_five_times_as_long() -> None:
    images = tf.constant(TRAIN[0][:8, ..., np.newaxis], tf.float32)
    moved = []
    for backbone in ("lite0", "small"):
        trainer = Run(_parameters(backbone=backbone)).trainer
        start = trainer.network.get_weights()
        trainer.train_step(images, tf.constant(TRAIN[1][:8]))
        after = trainer.network.get_weights()
        moved.append([b - a for a, b in zip(start, after, strict=True)])
    for variable, faster, plain in zip(trainer.network.weights, *moved, strict=True):
        ratio = 5 if variable.path.startswith("dense") else 1
        np.testing.assert_allclose(faster, ratio * plain, rtol=1e-4, atol=1e-7)
        assert np.abs(plain).max() > 0


def test_figures_weigh_every_scan_the_same_and_begin_anew() -> None:
    trainer = Run(_parameters()).trainer
    pixels = tf.constant(VAL[0][..., np.newaxis], tf.float32)
    labels = tf.constant(VAL[1])
    trainer.evaluation_step(pixels, labels)
    together = trainer.take_figures()
    trainer.evaluation_step(pixels[:1], labels[:1])
    trainer.evaluation_step(pixels[1:], labels[1:])
    assert trainer.take_figures() == pytest.approx(together, rel=1e-5)
    assert trainer.take_figures() == (0.0, 0.0)


@pytest.fixture
def half_precision() -> Iterator[None]:
    """Compute in float16 where a network is built meanwhile."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("half_precision")
def test_in_half_precision_the_loss_is_scaled_and_training_works() -> None:
    run = Run(_parameters(epochs=6))
    assert isinstance(run.trainer.optimizer, keras.optimizers.LossScaleOptimizer)
    fitted = run()
    assert fitted.epochs[-1].train_loss < fitted.epochs[0].train_loss
    assert fitted.kept.val_accuracy == 1.0
