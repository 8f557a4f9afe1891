"""Training steps under a strategy, in a process of their own: TensorFlow starts but once.

Usage: python -m tests.steps OUT.npz STRATEGY..., each `default`, `mirrored` (two logical CPUs) or
`workers` (the cluster in the environment variable HOSTS: current host, then all addresses). Writes
the trained weights of each, and those that follow them, as arrays STRATEGY/BATCH/NUMBER.
"""

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from brain_tumor.training.cluster import Cluster, Hosts
from brain_tumor.training.dropout import WholeBatchDropout
from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.strategy import WHOLE, Part, make_strategy

SIZE, STEPS = 32, 4
EVEN, UNEVEN = 8, 7
"""Scans a batch; what is left out of parts that are not even is another matter of chance."""


def main() -> None:
    """Train under every strategy that is asked for."""
    out, *names = sys.argv[1:]
    arrays = {}
    for name in names:
        keras.mixed_precision.set_global_policy("float32")
        strategy, part = _strategy(name)
        for batch in (EVEN, UNEVEN):
            for number, array in enumerate(_train(strategy, part, batch)):
                arrays[f"{name}/{batch}/{number}"] = array
    np.savez(Path(out), allow_pickle=False, **arrays)


def _strategy(name: str) -> tuple[tf.distribute.Strategy, Part]:
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), WHOLE
    if name == "default":
        _split_the_cpu()
        return tf.distribute.get_strategy(), WHOLE
    current, *addresses = os.environ["HOSTS"].split()
    hosts = {f"algo-{number}": address for number, address in enumerate(addresses, 1)}
    ports = {name: (host, int(port)) for name, (host, port) in _divided(hosts)}
    cluster = Cluster(Hosts(tuple(hosts), current), ports)
    # The exchange is not needed: nothing is validated.
    return make_strategy(cluster), Part(cluster.hosts.index, cluster.size)


def _divided(hosts: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    for name, address in hosts.items():
        yield name, address.split(":")


def _split_the_cpu() -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, halves)


def _train(strategy: tf.distribute.Strategy, part: Part, batch: int) -> list[np.ndarray]:
    keras.utils.set_random_seed(0)
    dropout = 0.5 if batch == EVEN else 0.0
    followed = _network(dropout)
    with strategy.scope():
        network = _network(dropout)
    network.set_weights(followed.get_weights())
    # On a pretrained backbone the head is given longer steps, too.
    parameters = Hyperparameters(batch_size=batch, learning_rate=0.01)
    trainer = Trainer(network, followed, parameters, strategy=strategy)
    random = np.random.default_rng(0)
    mine = part.of(batch)
    for _ in range(STEPS):
        pixels = random.integers(0, 256, (batch, SIZE, SIZE, 1)).astype(np.float32)
        labels = random.integers(0, 3, batch).astype(np.int32)
        trainer.train_step(tf.constant(pixels[mine]), tf.constant(labels[mine]))
    return [
        *network.get_weights(),
        *followed.get_weights(),
        np.array(trainer.take_figures()),
    ]


def _network(dropout: float) -> keras.Model:
    """Build a network without batch normalisation, whose statistics are each replica's own."""
    images = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
    conv = partial(keras.layers.Conv2D, activation="relu", padding="same")
    x = conv(8, 3, strides=2)(x)
    x = conv(8, 3, strides=2)(x)
    x = WholeBatchDropout(dropout, seed=0)(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Dense(3)(x))


if __name__ == "__main__":
    main()
