"""training.fit: the training step."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from brain_tumor.training.fit import Trainer
from tests.loops import TRAIN, VAL, Run, parameters


def test_the_averaged_weights_follow_the_trained_ones() -> None:
    run = Run(parameters())
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
    trainer = Run(parameters(weight_decay=0.5)).trainer
    decayed = {
        variable.name
        for variable in trainer.network.trainable_variables
        if trainer.optimizer._use_weight_decay(variable)
    }
    assert decayed == {"kernel"}


def test_a_trainer_that_begins_again_repeats_its_steps() -> None:
    trainer = Run(parameters()).trainer
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
        trainer = Run(parameters(backbone=backbone)).trainer
        start = trainer.network.get_weights()
        trainer.train_step(images, tf.constant(TRAIN[1][:8]))
        after = trainer.network.get_weights()
        moved.append([b - a for a, b in zip(start, after, strict=True)])
    for variable, faster, plain in zip(trainer.network.weights, *moved, strict=True):
        ratio = 5 if variable.path.startswith("dense") else 1
        np.testing.assert_allclose(faster, ratio * plain, rtol=1e-4, atol=1e-7)
        assert np.abs(plain).max() > 0


def test_figures_weigh_every_scan_the_same_and_begin_anew() -> None:
    trainer = Run(parameters()).trainer
    pixels = tf.constant(VAL[0][..., np.newaxis], tf.float32)
    labels = tf.constant(VAL[1])
    trainer.evaluation_step(pixels, labels)
    together = trainer.take_figures()
    trainer.evaluation_step(pixels[:1], labels[:1])
    trainer.evaluation_step(pixels[1:], labels[1:])
    assert trainer.take_figures() == pytest.approx(together, rel=1e-5)
    assert trainer.take_figures() == (0.0, 0.0)


def test_a_step_that_xla_compiles_is_the_same_step() -> None:
    plain = Run(parameters()).trainer
    start = plain.network.get_weights()
    compiled = Trainer(plain.network, plain.averaged, parameters(), xla=True)
    ends = []
    for trainer in (plain, compiled):
        trainer.begin(start)
        trainer.train_step(
            tf.constant(TRAIN[0][:8, ..., np.newaxis], tf.float32), tf.constant(TRAIN[1][:8])
        )
        ends.append([*trainer.network.get_weights(), np.array(trainer.take_figures())])
    for one, other in zip(*ends, strict=True):
        # A twentieth of a step's length: Adam makes as much of the smallest gradients, mere
        # rounding, as of the others.
        np.testing.assert_allclose(one, other, atol=0.005)


@pytest.fixture
def half_precision() -> Iterator[None]:
    """Compute in float16 where a network is built meanwhile."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    yield
    keras.mixed_precision.set_global_policy("float32")


@pytest.mark.usefixtures("half_precision")
def test_in_half_precision_the_loss_is_scaled_and_training_works() -> None:
    run = Run(parameters(epochs=6))
    assert isinstance(run.trainer.optimizer, keras.optimizers.LossScaleOptimizer)
    fitted = run()
    assert fitted.epochs[-1].train_loss < fitted.epochs[0].train_loss
    assert fitted.kept.val_accuracy == 1.0


def test_an_update_is_the_one_that_keras_own_adamw_makes() -> None:
    trainer = Run(parameters(weight_decay=0.5)).trainer
    ours, network = trainer.optimizer, trainer.network
    theirs = keras.optimizers.AdamW(weight_decay=0.5, global_clipnorm=ours.global_clipnorm)
    theirs.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    copies = [
        keras.Variable(variable, name=variable.name) for variable in network.trainable_variables
    ]
    random = np.random.default_rng(0)
    for step in range(4):
        ours.learning_rate = theirs.learning_rate = 0.1 / (1 + step)
        gradients = [random.normal(0, 10.0**step, v.shape).astype(np.float32) for v in copies]
        for optimizer, variables in ((ours, network.trainable_variables), (theirs, copies)):
            given = [tf.constant(gradient) for gradient in gradients]
            optimizer.apply_gradients(zip(given, variables, strict=True))
        for mine, wanted in zip(network.trainable_variables, copies, strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
