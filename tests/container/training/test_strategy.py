"""training.strategy: how a batch is divided, and that it makes no difference."""

import os
import signal
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from brain_tumor.errors import HyperparameterError
from brain_tumor.training.cluster import ALONE
from brain_tumor.training.precision import candidates
from brain_tumor.training.strategy import (
    Part,
    devices_of,
    make_strategy,
    own_sigterm,
    require_a_scan_for_each,
    spread,
)
from tests.ports import free_ports


@given(st.integers(1, 64).flatmap(lambda n: st.tuples(st.integers(n, 4096), st.just(n))))
def test_parts_are_the_whole_batch_once_and_differ_by_one_at_most(batch: tuple[int, int]) -> None:
    scans, count = batch
    rows = [list(range(scans))[Part(index, count).of(scans)] for index in range(count)]
    assert [row for part in rows for row in part] == list(range(scans))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_one_host_without_gpus_trains_as_if_there_were_no_strategy() -> None:
    strategy = make_strategy(ALONE)
    assert strategy is tf.distribute.get_strategy()
    batch = (tf.zeros((3, 8, 8, 1)), tf.zeros(3, tf.int32))
    assert spread(strategy, batch) is batch


def test_gpus_give_memory_as_it_is_asked_for_and_tell_what_they_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    details: dict[str, dict[str, tuple[int, int]]] = {
        "GPU:0": {"compute_capability": (7, 5)},
        # Not of NVIDIA's.
        "GPU:1": {},
    }
    grown: list[str] = []

    def grow(gpu: str, enable: bool) -> None:
        grown.extend([gpu] * enable)
        if gpu == "GPU:1":
            raise RuntimeError("Physical devices cannot be modified after being initialized")

    config = tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda _: list(details))
    monkeypatch.setattr(config.experimental, "get_device_details", details.get)
    monkeypatch.setattr(config.experimental, "set_memory_growth", grow)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    assert make_strategy(ALONE) == "mirrored"
    assert grown == ["GPU:0", "GPU:1"]
    (host,) = devices_of(ALONE)
    assert host.gpus == [[7, 5], [0, 0]]
    assert str(candidates(None, [host], "small")[0]) == "float32"


def test_a_batch_too_small_to_be_divided_is_refused() -> None:
    class Four:
        num_replicas_in_sync = 4

    require_a_scan_for_each(4, Four())
    with pytest.raises(HyperparameterError, match=r"batch-size=3 .* 4 processors .* 4 or more"):
        require_a_scan_for_each(3, Four())


def test_a_sigterm_that_comes_while_the_hosts_are_joined_is_heeded_afterwards() -> None:
    heard: list[str] = []
    former = signal.signal(signal.SIGTERM, lambda *_: heard.append("by us"))
    try:
        with own_sigterm():
            # As TensorFlow's preemption notifier does.
            signal.signal(signal.SIGTERM, lambda *_: heard.append("by TensorFlow"))
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert heard == ["by us"]
    finally:
        signal.signal(signal.SIGTERM, former)


def _start(out: Path, *strategies: str, **env: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.steps", str(out), *strategies]
    return subprocess.Popen(command, env={**os.environ, **env})


def _weights(out: Path, strategy: str) -> dict[str, NDArray[np.float32]]:
    with np.load(out) as arrays:
        return {
            name.removeprefix(strategy): array
            for name, array in arrays.items()
            if name.startswith(f"{strategy}/")
        }


def test_two_gpus_or_two_hosts_take_the_steps_that_one_takes(tmp_path: Path) -> None:
    # Parts that are even and lose features, and parts that are not; logical CPUs stand for GPUs.
    addresses = " ".join(f"127.0.0.1:{port}" for port in islice(free_ports(), 2))
    processes = [
        _start(tmp_path / "one.npz", "default", "mirrored"),
        *(
            _start(tmp_path / f"{host}.npz", "workers", HOSTS=f"{host} {addresses}")
            for host in ("algo-1", "algo-2")
        ),
    ]
    try:
        assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
    wanted = _weights(tmp_path / "one.npz", "default")
    for file, strategy in (("one", "mirrored"), ("algo-1", "workers"), ("algo-2", "workers")):
        found = _weights(tmp_path / f"{file}.npz", strategy)
        assert found.keys() == wanted.keys()
        for name, array in found.items():
            np.testing.assert_allclose(array, wanted[name], rtol=1e-3, atol=1e-5)
