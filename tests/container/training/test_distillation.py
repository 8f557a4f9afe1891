"""training.distillation: one network learns what the members of a soup say together."""

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from brain_tumor.training.distillation import Batch, taught_batches, teach
from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Epoch, Fit, Training, Validation
from brain_tumor.training.record import Record, Weights
from brain_tumor.training.schedule import Schedule
from brain_tumor.training.soup import mean_of

SIZE, CLASSES, BATCH = 32, 3, 64


def _network() -> keras.Model:
    images = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    x = keras.layers.Conv2D(8, 5, 4, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(CLASSES)(x))


def _scans(seed: int) -> NDArray[np.float32]:
    """Draw scans of one grey each, so that a mixture shows what it is made of."""
    greys = np.random.default_rng(seed).uniform(0, 255, BATCH)
    return np.broadcast_to(greys[:, None, None, None], (BATCH, SIZE, SIZE, 1)).astype(np.float32)


def _stream() -> Iterator[Batch]:
    """Give batches whose labels are never right."""
    seed = 0
    while True:
        yield tf.constant(_scans(seed)), tf.fill((BATCH,), -1)
        seed += 1


class _Soup(NamedTuple):
    members: list[Weights]
    training: Training


@pytest.fixture
def soup() -> _Soup:
    """Give two networks that began apart, so that their mean answers unlike the two together."""
    keras.utils.set_random_seed(2)
    members = []
    for _ in range(2):
        network = _network()
        network.layers[-1].kernel.assign(3 * network.layers[-1].kernel)
        members.append(network.get_weights())
    epoch = Epoch(1, 0.1, 1.0, 0.1, 0.9, 1e-3, 1.0)
    fits = [Fit([epoch], epoch, "all epochs done") for _ in members]
    return _Soup(members, Training(fits, Validation(0.5, 0.0), None))


def _logits(weights: Weights, images: NDArray[np.float32]) -> NDArray[np.float32]:
    network = _network()
    network.set_weights(weights)
    return np.asarray(network(images, training=False))


def _together(soup: _Soup, images: NDArray[np.float32]) -> NDArray[np.float32]:
    logits = [_logits(weights, images) for weights in soup.members]
    return np.asarray(np.mean(logits, axis=0), np.float32)


def _taught(soup: _Soup, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    teachers = [_network() for _ in soup.members]
    for teacher, weights in zip(teachers, soup.members, strict=True):
        teacher.set_weights(weights)
    images, labels = next(taught_batches(_stream(), teachers, seed))
    return images.numpy(), labels.numpy()


def test_half_of_the_scans_are_mixed_with_another_of_the_batch(soup: _Soup) -> None:
    given, (mixed, _) = _scans(0), _taught(soup, seed=0)
    changed = (mixed != given).any(axis=(1, 2, 3))
    assert 0.3 < changed.mean() < 0.7
    # Between its own grey and that of its partner.
    low, high = np.minimum(given, given[::-1]), np.maximum(given, given[::-1])
    assert ((low - 1e-3 <= mixed) & (mixed <= high + 1e-3)).all()


def test_labels_are_what_the_members_say_together_of_the_mixtures(soup: _Soup) -> None:
    mixed, labels = _taught(soup, seed=0)
    np.testing.assert_allclose(labels, softmax(_together(soup, mixed), axis=1), atol=1e-5)


def test_the_same_seed_gives_the_same_lessons_and_another_gives_others(soup: _Soup) -> None:
    (first, _), (again, _), (other, _) = (_taught(soup, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def _teach(soup: _Soup, epochs: int = 8, stops_after: int = 10_000) -> tuple[Training, Weights]:
    parameters = Hyperparameters(learning_rate=0.02, weight_decay=0.0)
    pupil = Trainer(_network(), _network(), parameters, taught=True)
    labels = _together(soup, _scans(99)).argmax(axis=1).astype(np.int32)
    val = tf.data.Dataset.from_tensors((_scans(99), labels))
    schedule = Schedule(epochs, 10, 0.02, epochs, first_epoch=3)
    left = iter([False] * stops_after + [True] * 10_000)
    training = teach(
        pupil,
        soup.training,
        soup.members,
        _stream(),
        val,
        schedule,
        0,
        lambda: next(left),
        print,
        Record(),
    )
    return training, pupil.averaged.get_weights()


def _distance(weights: Weights, soup: _Soup) -> float:
    """Return the mean divergence of a network's answers from those of the members together."""
    images = _scans(1000)
    wanted, given = (
        log_softmax(logits, axis=1)
        for logits in (_together(soup, images), _logits(weights, images))
    )
    return float((np.exp(wanted) * (wanted - given)).sum(axis=1).mean())


def test_the_pupil_begins_as_the_mean_and_answers_more_like_the_members_together(
    soup: _Soup,
) -> None:
    training, weights = _teach(soup)
    before, after = _distance(mean_of(soup.members), soup), _distance(weights, soup)
    assert after < 0.3 * before
    assert training.taught is not None
    assert training.kept is training.taught
    assert [epoch.epoch for epoch in training.taught.epochs] == list(range(3, 11))
    assert training.kept_epochs == [10]
    assert training.members == soup.training.members


def test_a_pupil_that_is_clearly_worse_than_the_mean_is_not_kept(soup: _Soup) -> None:
    proud = soup._replace(training=Training(soup.training.members, Validation(0.1, 2.0), None))
    training, weights = _teach(proud, epochs=1)
    for array, mean in zip(weights, mean_of(soup.members), strict=True):
        np.testing.assert_allclose(array, mean, rtol=1e-6)
    assert training.kept is None
    assert training.taught is not None


def test_lessons_end_when_the_job_is_stopped(soup: _Soup) -> None:
    training, _ = _teach(soup, epochs=8, stops_after=15)
    assert training.taught is not None
    assert (len(training.taught.epochs), training.ended) == (2, "asked to stop")


def test_a_head_that_is_taught_takes_steps_as_long_as_the_rest(soup: _Soup) -> None:
    # AdamW's first step is as long as the rate, so that one five times as long would show.
    parameters = Hyperparameters(learning_rate=1e-3, weight_decay=0.0, backbone="lite0")
    pupil = Trainer(_network(), _network(), parameters, taught=True)
    pupil.optimizer.learning_rate = 1e-3
    before = pupil.network.layers[-1].kernel.numpy()
    images = tf.constant(_scans(0))
    pupil.train_step(images, tf.constant(softmax(_together(soup, _scans(0)), axis=1)))
    moved = np.abs(pupil.network.layers[-1].kernel.numpy() - before).max()
    assert moved == pytest.approx(1e-3, rel=0.1)
