"""A model soup: several trainings from one backbone, and the mean of their weights.

Networks that were fine-tuned from the same pretrained weights lie in one basin of the loss, so that
the mean of their weights is about as good as their ensemble, at the cost of one (Wortsman et al.
2022, arXiv 2203.05482). They gain more the more they differ, so each draws its batches and the
numbers its head begins with anew. docs/recipe.md has what it gained here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import tensorflow as tf

from brain_tumor.training.fit import Trainer
from brain_tumor.training.loop import fit
from brain_tumor.training.metrics import TOLERANCE, Epoch, Fit, Training
from brain_tumor.training.record import Record, Weights
from brain_tumor.training.schedule import Schedule


def train_soup(
    trainer: Trainer,
    batches: Iterator[tuple[tf.Tensor, tf.Tensor]],
    val: tf.data.Dataset,
    schedule: Schedule,
    members: int,
    stop_asked: Callable[[], bool],
    report: Callable[[Epoch], None],
    record: Record,
) -> tuple[Training, list[Weights]]:
    """Train `members` times from the trainer's weights and average the results.

    Each member begins with a head of its own, unless the head has been trained before.

    With one member this is `fit` and no more. Arguments are those of `fit`; the epochs and the time
    of `schedule` are for all members together.

    Returns:
        How it went, and the members' weights. `trainer.averaged` holds the mean; the best member
        where training was stopped before the last one, or where the mean is clearly worse, as it is
        when the members lie in different basins.

    Raises:
        BrainTumorError: the loss is no longer a number.
    """
    start = trainer.network.get_weights()
    for member, share in enumerate(member_schedules(schedule, members)):
        if member < len(record.finished):
            continue
        left = None if schedule.seconds is None else schedule.seconds - record.clock()
        timed = replace(share, seconds=_part_of(left, share, schedule))
        trainer.begin(_with_own_head(start, member) if trainer.has_new_head else start)
        fitted = fit(trainer, batches, val, timed, stop_asked, report, record)
        record.finish(fitted, trainer.averaged.get_weights())
        if stop_asked():
            break
    fits = [fitted for fitted, _ in record.finished[:members]]
    weights = [kept for _, kept in record.finished[:members]]
    best, mean = _best_of(fits), None
    if 1 < len(fits) == members:
        trainer.averaged.set_weights(mean_of(weights))
        mean = trainer.validate(val)
        if mean.accuracy >= fits[best].kept.val_accuracy - TOLERANCE:
            return Training(fits, mean, None), weights
    trainer.averaged.set_weights(weights[best])
    return Training(fits, mean, fits[best]), weights


def member_schedules(schedule: Schedule, members: int) -> list[Schedule]:
    """Divide the epochs evenly, the first members having one more where a rest is left."""
    each, rest = divmod(schedule.epochs, members)
    shares, first = [], schedule.first_epoch
    for member in range(members):
        epochs = each + (member < rest)
        shares.append(replace(schedule, epochs=epochs, first_epoch=first))
        first += epochs
    return shares


def mean_of(members: Sequence[Weights]) -> Weights:
    """Return the mean of each array over the members."""
    return [np.mean(arrays, axis=0) for arrays in zip(*members, strict=True)]


def _part_of(left: float | None, share: Schedule, whole: Schedule) -> float | None:
    """Return the part of the time that is left which a member may take, by its epochs."""
    if left is None:
        return None
    epochs_left = whole.first_epoch + whole.epochs - share.first_epoch
    return max(0.0, left) * share.epochs / epochs_left


def _with_own_head(start: Weights, member: int) -> Weights:
    """Deal the numbers of the head's kernel anew for each member but the first."""
    if member == 0:
        return start
    *backbone, kernel, bias = start
    dealt = np.random.default_rng(member).permutation(kernel.ravel()).reshape(kernel.shape)
    return [*backbone, dealt, bias]


def _best_of(fits: Sequence[Fit]) -> int:
    best = 0
    for number, fitted in enumerate(fits):
        if fitted.kept.is_better_than(fits[best].kept):
            best = number
    return best
