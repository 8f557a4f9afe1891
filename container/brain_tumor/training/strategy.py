"""How training is spread over hosts and GPUs: TensorFlow's strategies, and each one's part."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from brain_tumor.errors import HyperparameterError
from brain_tumor.resources import has_bfloat16
from brain_tumor.training.cluster import Cluster
from brain_tumor.training.precision import UNKNOWN, Devices
from brain_tumor.training.stop import held_back


@dataclass(frozen=True)
class Part:
    """One of `count` parts of every batch."""

    index: int = 0
    count: int = 1

    def of(self, batch: int) -> slice:
        """Return the rows of a batch of so many that are this part's; parts may differ by one."""
        return slice(self.index * batch // self.count, (self.index + 1) * batch // self.count)


WHOLE = Part()


def make_strategy(cluster: Cluster) -> tf.distribute.Strategy:
    """Choose the strategy; call this before TensorFlow has computed anything.

    Several hosts: MultiWorkerMirroredStrategy over all hosts and their GPUs. One host with several
    GPUs: MirroredStrategy. Else TensorFlow's default, which adds nothing. GPUs give memory as it is
    asked for: TensorFlow takes all of it at once otherwise, also from processes beside this one.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        # A script of one's own may have computed before; what it has set stays.
        with suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)
    if cluster.size > 1:
        # TensorFlow reads it, as does a library that asks where it runs.
        os.environ["TF_CONFIG"] = cluster.tf_config()
        with own_sigterm():
            return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def devices_of(cluster: Cluster) -> list[Devices]:
    """Return what each host has to compute with; all hosts call this."""

    def here() -> bytes:
        gpus = tf.config.list_physical_devices("GPU")
        details = map(tf.config.experimental.get_device_details, gpus)
        known = [each.get("compute_capability", UNKNOWN) for each in details]
        return json.dumps(asdict(Devices(known, has_bfloat16()))).encode()

    return [Devices(**json.loads(told)) for told in cluster.from_each(here)]


@contextmanager
def own_sigterm() -> Iterator[None]:
    """Keep what SIGTERM does: TensorFlow's preemption notifier would take the signal for itself.

    One that comes meanwhile waits, and is not lost: hosts may wait here for the slowest.
    """
    handler = signal.getsignal(signal.SIGTERM)
    with held_back():
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handler)


def require_a_scan_for_each(batch_size: int, strategy: tf.distribute.Strategy) -> None:
    """Make sure that every replica has a part of every batch.

    Raises:
        HyperparameterError: the batch is smaller than the number of replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size < replicas:
        raise HyperparameterError(
            f"Hyperparameter batch-size={batch_size} cannot be used on {replicas} processors that "
            "train together: it is the size of the whole batch, of which each takes a part. Give "
            f"{replicas} or more."
        )


def spread(strategy: tf.distribute.Strategy, batch: tuple[tf.Tensor, ...]) -> Any:
    """Divide this host's part of a batch among its GPUs; with one of them there is nothing to do.

    Args:
        strategy: whose devices they are.
        batch: tensors (n, ...).

    Returns:
        What `strategy.run` takes as `args`.
    """
    if strategy.num_replicas_in_sync == 1:
        return batch
    devices = len(strategy.extended.worker_devices)
    if devices == 1:
        return batch
    rows = len(batch[0])

    def part(context: tf.distribute.experimental.ValueContext) -> Any:
        # Counted over all hosts, each with the same number of devices.
        place = context.replica_id_in_sync_group % devices
        return tuple(tensor[Part(place, devices).of(rows)] for tensor in batch)

    return strategy.experimental_distribute_values_from_function(part)
