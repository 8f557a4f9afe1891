"""The training loop: steps, one metric line an epoch, early stopping, a note of how far it is."""

import math
from collections.abc import Callable, Iterator
from itertools import islice

import tensorflow as tf

from brain_tumor.errors import BrainTumorError
from brain_tumor.training.fit import Trainer
from brain_tumor.training.metrics import ASKED_TO_STOP, TOLERANCE, Epoch, Fit
from brain_tumor.training.record import LoopState, Record
from brain_tumor.training.schedule import Progress, Schedule, learning_rate_at


def fit(
    trainer: Trainer,
    batches: Iterator[tuple[tf.Tensor, tf.Tensor]],
    val: tf.data.Dataset,
    schedule: Schedule,
    stop_asked: Callable[[], bool],
    report: Callable[[Epoch], None],
    record: Record,
) -> Fit:
    """Train until the epochs, the patience or the time are used up.

    A loop that comes to the end of its schedule keeps its last epoch: with the rate near zero it is
    the best one, and the best on a few hundred scans is mostly a lucky one (docs/recipe.md). The
    best on validation is kept where the last is clearly worse, and where the loop was ended early.

    Args:
        trainer: the network and its steps; at the end `averaged` holds the epoch that is kept.
        batches: an endless stream of training batches; the next loop goes on where this one ends.
        val: batches of the validation scans.
        schedule: how long, and how fast.
        stop_asked: asked after every step; True ends training. One epoch or step is always taken.
        report: called with each epoch as it ends.
        record: where the loop goes on from, and where it notes how far it is.

    Raises:
        BrainTumorError: the loss is no longer a number.
    """
    loop = _Loop(trainer, schedule, record)
    while (ended := loop.reason_to_end(stop_asked)) is None:
        whole = loop.take_steps(batches, stop_asked)
        if not whole:
            # Before the epoch is closed: one that goes on from here takes the rest of its steps.
            record.keep(loop.state)
        report(loop.close_epoch(val))
        if whole:
            record.keep(loop.state)
    return loop.keep_an_epoch(ended)


class _Loop:
    """A training loop: epochs, the best of them, and the position in the schedule."""

    def __init__(self, trainer: Trainer, schedule: Schedule, record: Record) -> None:
        self._trainer = trainer
        self._schedule = schedule
        self._clock = record.clock
        self._progress = Progress(
            schedule.epochs * schedule.steps_per_epoch, schedule.seconds, record.clock
        )
        self._epochs: list[Epoch] = []
        self._best: Epoch | None = None
        self._best_weights = trainer.averaged.get_weights()
        self._begin = record.clock()
        if (state := record.take_up()) is not None:
            self._progress.position = state.position
            self._epochs, self._best = list(state.epochs), state.best
            self._best_weights = state.arrays["best"]
            trainer.restore(state.arrays)

    def state(self) -> LoopState:
        arrays = {**self._trainer.state(), "best": self._best_weights}
        return LoopState(list(self._epochs), self._best, self._progress.position, arrays)

    def take_steps(
        self, batches: Iterator[tuple[tf.Tensor, tf.Tensor]], stop_asked: Callable[[], bool]
    ) -> bool:
        """Take the epoch's steps, or what is left of them; False: a stop cut them short."""
        self._begin = self._clock()
        taken = self._progress.step - len(self._epochs) * self._schedule.steps_per_epoch
        for images, labels in islice(batches, self._schedule.steps_per_epoch - taken):
            self._trainer.optimizer.learning_rate = learning_rate_at(
                self._progress.fraction(), self._schedule.peak_rate
            )
            self._trainer.train_step(images, labels)
            self._progress.advance()
            if stop_asked():
                return False
            if self._progress.fraction() >= 1:
                break
        return True

    def close_epoch(self, val: tf.data.Dataset) -> Epoch:
        """Validate what the steps led to."""
        number = self._schedule.first_epoch + len(self._epochs)
        train_loss, train_accuracy = self._trainer.take_figures()
        scores = self._trainer.validate(val)
        if not (math.isfinite(train_loss) and math.isfinite(scores.loss)):
            raise BrainTumorError(
                f"The loss is no longer a number in epoch {number} (training {train_loss}, "
                f"validation {scores.loss}). Usual cause: learning-rate="
                f"{self._schedule.peak_rate} is too high; try a tenth of it."
            )
        epoch = Epoch(
            number,
            train_loss,
            train_accuracy,
            scores.loss,
            scores.accuracy,
            float(self._trainer.optimizer.learning_rate.numpy()),
            self._clock() - self._begin,
        )
        self._epochs.append(epoch)
        if self._best is None or epoch.is_better_than(self._best):
            self._best, self._best_weights = epoch, self._trainer.averaged.get_weights()
        return epoch

    def reason_to_end(self, stop_asked: Callable[[], bool]) -> str | None:
        if self._best is None:
            return None
        patience = self._schedule.patience
        if patience is not None and self._epochs[-1].epoch - self._best.epoch >= patience:
            return f"no better validation accuracy for {patience} epochs"
        if self._progress.step >= self._progress.total_steps:
            return "all epochs done"
        if stop_asked():
            return ASKED_TO_STOP
        if self._progress.fraction() >= 1:
            return f"the {self._progress.position.seconds:.0f} seconds for training are used up"
        return None

    def keep_an_epoch(self, ended: str) -> Fit:
        """Let `averaged` hold the epoch that is kept."""
        assert self._best is not None  # noqa: S101 - there is an epoch at least
        last, steps = self._epochs[-1], self._progress.step
        at_the_end = self._progress.fraction() >= 1
        if at_the_end and last.val_accuracy >= self._best.val_accuracy - TOLERANCE:
            return Fit(self._epochs, last, ended, steps)
        self._trainer.averaged.set_weights(self._best_weights)
        return Fit(self._epochs, self._best, ended, steps)
