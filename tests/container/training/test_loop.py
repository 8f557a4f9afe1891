"""training.loop: the training loop."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from brain_tumor.errors import BrainTumorError
from brain_tumor.training.fit import network_logits
from brain_tumor.training.metrics import Fit, Validation
from brain_tumor.training.pipeline import evaluation_batches
from brain_tumor.training.record import Record
from tests.loops import VAL, Run, parameters


def test_training_lowers_the_loss_until_all_is_right() -> None:
    fitted = Run(parameters(epochs=6))()
    assert fitted.epochs[-1].train_loss < 0.5 * fitted.epochs[0].train_loss
    assert fitted.kept.val_accuracy == 1.0


def test_every_epoch_is_reported_as_it_ends_and_kept() -> None:
    run = Run(parameters(epochs=3))
    fitted = run()
    assert fitted.epochs == run.reported
    assert [epoch.epoch for epoch in fitted.epochs] == [1, 2, 3]
    assert fitted.ended == "all epochs done"
    assert run.steps == 3 * 5
    for epoch in fitted.epochs:
        assert 0 <= epoch.train_accuracy <= 1
        assert 0 < epoch.learning_rate <= 0.1 + 1e-6
    rates = [epoch.learning_rate for epoch in fitted.epochs]
    assert rates == sorted(rates, reverse=True)


def _scripted(accuracies: list[float], **changes: Any) -> tuple[Run, Fit]:
    """Run a loop whose epochs score what they are told to."""
    run = Run(parameters(epochs=len(accuracies), **changes))
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
    run = Run(parameters(epochs=3))
    best = run().kept
    logits = network_logits(run.trainer.averaged, evaluation_batches(*VAL, 5))
    losses = keras.losses.sparse_categorical_crossentropy(VAL[1], logits, from_logits=True)
    assert float(np.mean(losses)) == pytest.approx(best.val_loss, rel=1e-4)
    assert float((logits.argmax(axis=1) == VAL[1]).mean()) == pytest.approx(best.val_accuracy)


def test_training_ends_after_patience_epochs_without_a_better_accuracy() -> None:
    run = Run(parameters(epochs=50, patience=2), val=(VAL[0], 1 - VAL[1]))
    fitted = run()
    assert fitted.ended == "no better validation accuracy for 2 epochs"
    assert len(fitted.epochs) == fitted.kept.epoch + 2 < 50


def test_unless_patience_is_set_the_whole_schedule_runs() -> None:
    run = Run(parameters(epochs=20), val=(VAL[0], 1 - VAL[1]))
    fitted = run()
    # No epoch is better than the first: none of these scans is ever right.
    assert {epoch.val_accuracy for epoch in fitted.epochs[1:]} == {0.0}
    assert (len(fitted.epochs), fitted.ended) == (20, "all epochs done")


@pytest.mark.parametrize("after", [1, 5, 7])
def test_when_asked_to_stop_training_ends_after_the_current_step_with_figures(after: int) -> None:
    run = Run(parameters(epochs=50), stop_asked=lambda run: run.steps >= after)
    fitted = run()
    assert fitted.ended == "asked to stop"
    assert run.steps == after
    assert len(fitted.epochs) == -(-after // 5)
    assert np.isfinite(fitted.kept.val_loss)


def _two_minutes_a_look() -> Record:
    """Let two minutes pass each time the loop looks at the clock."""
    record = Record()
    record.clock = itertools.count(0.0, 120).__next__  # type: ignore[method-assign]
    return record


def test_a_time_budget_ends_training_within_an_epoch_and_says_so() -> None:
    # Looked at twice a step and before the epoch: 14 minutes are over in the third step.
    run = Run(parameters(epochs=50), seconds=14 * 60, record=_two_minutes_a_look())
    fitted = run()
    assert fitted.ended == "the 840 seconds for training are used up"
    assert (len(fitted.epochs), run.steps) == (1, 3)
    assert fitted.kept.learning_rate < 0.1


def test_a_budget_longer_than_all_epochs_changes_nothing() -> None:
    fitted = Run(parameters(epochs=2), seconds=6_000_000, record=_two_minutes_a_look())()
    assert (len(fitted.epochs), fitted.ended) == (2, "all epochs done")


def test_a_loss_that_is_no_number_ends_the_job_with_a_sentence() -> None:
    run = Run(parameters(learning_rate=1e38))
    with pytest.raises(BrainTumorError, match=r"no longer a number in epoch 1.*try a tenth") as at:
        run()
    assert "learning-rate=1e+38 is too high" in str(at.value)
    assert run.reported == []
