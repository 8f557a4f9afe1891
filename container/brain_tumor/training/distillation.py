"""Knowledge distillation: one network learns what the members of a soup say together.

Hinton et al. 2015 (arXiv 1503.02531). The mean of the members' logits is right more often than the
network of their mean weights, and costs as many predictions as there are members. Taught to answer
as they do, one network did as well on one fold of two (docs/recipe.md). It learns on mixtures of
scans too, about which the members are not sure of themselves: of scans that they have learnt by
heart there is little to be learnt (Beyer et al. 2022, arXiv 2106.05237).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import keras
import tensorflow as tf

from brain_tumor.training.fit import Trainer
from brain_tumor.training.loop import fit
from brain_tumor.training.metrics import TOLERANCE, Epoch, Training
from brain_tumor.training.record import Record, Weights
from brain_tumor.training.schedule import Schedule
from brain_tumor.training.soup import mean_of

Batch = tuple[tf.Tensor, tf.Tensor]

RATE_SHARE = 0.4
"""Of the members' peak rate."""

_MIXED = 0.5
"""Share of the scans that are mixed with another."""


def lesson_cost(members: int) -> float:
    """Return about how many epochs of training an epoch of being taught costs.

    Every member is asked about each scan, which is half of a step on a network whose first blocks
    do not learn (docs/recipe.md).
    """
    return 1 + members / 2


def teach(
    pupil: Trainer,
    soup: Training,
    members: Sequence[Weights],
    batches: Iterator[Batch],
    val: tf.data.Dataset,
    schedule: Schedule,
    seed: int,
    stop_asked: Callable[[], bool],
    report: Callable[[Epoch], None],
    record: Record,
) -> Training:
    """Let the mean of a soup learn from its members.

    Args:
        pupil: a trainer that is taught.
        soup: how these came about.
        members: their weights.
        batches: as for `fit`; what the members say of them takes the place of the labels.
        val: as for `fit`, and the rest too.
        schedule: how long, and how fast.
        seed: of the mixtures.
        stop_asked: asked before every step.
        report: called with each epoch.
        record: as for `fit`.

    Returns:
        How it went. `pupil.averaged` holds the epoch that was kept, or the mean as it was where
        that epoch is clearly worse.

    Raises:
        BrainTumorError: the loss is no longer a number.
    """
    assert soup.mean is not None  # noqa: S101 - a soup of several has one
    mean = mean_of(members)
    taught = taught_batches(batches, _teachers(pupil.network, members), seed, record.step)
    pupil.begin(mean)
    lessons = fit(pupil, taught, val, schedule, stop_asked, report, record)
    if lessons.kept.val_accuracy >= soup.mean.accuracy - TOLERANCE:
        return replace(soup, taught=lessons, kept=lessons)
    pupil.averaged.set_weights(mean)
    return replace(soup, taught=lessons)


def _teachers(network: keras.Model, members: Sequence[Weights]) -> list[keras.Model]:
    teachers = []
    for each in members:
        teacher = keras.models.clone_model(network)
        teacher.set_weights(each)
        teachers.append(teacher)
    return teachers


def taught_batches(
    batches: Iterator[Batch], teachers: Sequence[keras.Model], seed: int, first: int = 0
) -> Iterator[Batch]:
    """Mix scans of each batch, and label them with what the teachers say of them.

    Args:
        batches: (images (n, size, size, 1), anything).
        teachers: networks that give logits (n, classes); the mean of these is what they say.
        seed: of the mixtures.
        first: number of the first batch; those before it were used already.

    Yields:
        (images, probabilities (n, classes)).
    """

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def teach(images: tf.Tensor, number: tf.Tensor) -> Batch:
        mixed = _mix(images, tf.stack([tf.constant(seed, tf.int64), number]))
        logits = [teacher(mixed, training=False) for teacher in teachers]
        return mixed, tf.nn.softmax(tf.reduce_mean(logits, axis=0))

    for number, (images, _) in enumerate(batches, first):
        yield teach(images, tf.constant(number, tf.int64))


def _mix(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Put another scan of the batch over some scans, each pair in a proportion of its own."""
    scans = tf.shape(images)[0]
    chosen, proportion = (
        tf.random.stateless_uniform((scans,), tf.random.fold_in(seed, draw))[:, None, None, None]
        for draw in range(2)
    )
    mixture = proportion * images + (1 - proportion) * tf.reverse(images, axis=[0])
    return tf.where(chosen < _MIXED, mixture, images)
