"""Jobs on several hosts, each a real `train` in a process of its own on loopback addresses.

tests/test_hosts_image.py runs the same in containers with names and a network of their own.
"""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.hosts import SMALL, Channels, failure, make_hosts, run, shards, start

ENDLESS = {**SMALL, "epochs": "10000"}


@pytest.fixture(scope="module")
def parts(prepared: Path) -> Channels:
    """Give the three channels whole."""
    return {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")}


def _wait_for_epoch(process: "subprocess.Popen[str]", number: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"epoch={number};"):
            return
    raise AssertionError(f"ended before epoch {number} with {process.wait()}")


def test_a_stop_that_one_host_hears_ends_all_with_the_model_of_all_shards(
    tmp_path: Path, prepared: Path
) -> None:
    hosts = make_hosts(tmp_path, shards(prepared, tmp_path), ENDLESS)
    with start(hosts) as processes:
        _wait_for_epoch(processes["algo-1"], 2)
        processes["algo-2"].send_signal(signal.SIGTERM)
        printed = {name: process.communicate(timeout=300)[0] for name, process in processes.items()}
        assert {process.returncode for process in processes.values()} == {0}
    chief, other = hosts.values()
    # Every host's inputdataconfig.json names every channel.
    assert "/input/data/val does not exist; it is taken for" in (chief / "stderr.log").read_text()
    history = json.loads((chief / "output/data/training_history.json").read_text())
    assert history["ended"] == "asked to stop"
    info = json.loads((chief / "model" / "model.json").read_text())
    assert info["data"]["scans"] == {"train": 32, "val": 8, "test": 8}
    # The chief alone reports, and writes: the platform puts the files of all hosts together.
    assert "test_accuracy=" in printed["algo-1"]
    assert "epoch=" not in printed["algo-2"]
    assert list((other / "model").iterdir()) == list((other / "output" / "data").iterdir()) == []


LOST = [(signal.SIGKILL, "is gone"), (signal.SIGSTOP, "says nothing any more")]
LONG = os.environ.get("BRAIN_TUMOR_LONG_TESTS")
if not LONG:
    # How a host that is frozen is noticed is tested beside `exchange`.
    del LOST[1:]


@pytest.mark.parametrize(("number", "word"), LOST)
def test_a_host_that_is_killed_or_frozen_in_mid_epoch_ends_all_with_its_name(
    tmp_path: Path, parts: Channels, number: signal.Signals, word: str
) -> None:
    hosts = make_hosts(tmp_path, [parts] * 2, ENDLESS)
    with start(hosts, BRAIN_TUMOR_CLUSTER_SILENCE_SECONDS="15") as processes:
        _wait_for_epoch(processes["algo-1"], 1)
        lost = time.monotonic()
        processes["algo-2"].send_signal(number)
        assert processes["algo-1"].wait(timeout=60) != 0
        assert time.monotonic() - lost < 60
    assert failure(hosts["algo-1"]).startswith(f"Host algo-2 {word}")
    assert list((hosts["algo-1"] / "model").iterdir()) == []


def test_a_host_that_cannot_read_its_data_ends_all_with_its_name_and_cause(
    tmp_path: Path, parts: Channels, prepared: Path
) -> None:
    broken = tmp_path / "Train.zip"
    broken.write_bytes((prepared / "Train.zip").read_bytes()[:-30])
    hosts = make_hosts(tmp_path, [parts, {**parts, "train": broken}], SMALL)
    codes = run(hosts)
    assert 0 not in codes.values()
    for ml_dir in hosts.values():
        assert failure(ml_dir).startswith(
            "Host algo-2: Channel train: Train.zip is not a readable zip"
        )


def test_a_former_model_that_one_host_alone_was_given_ends_all_before_training(
    tmp_path: Path, parts: Channels, trained: Path
) -> None:
    # As a channel of one instance group: inputdataconfig.json names it on every host.
    hosts = make_hosts(tmp_path, [{**parts, "model": trained / "model"}, parts], SMALL)
    codes = run(hosts)
    assert 0 not in codes.values()
    for ml_dir in hosts.values():
        text = failure(ml_dir)
        assert text.startswith("Host algo-2: Channel model: ")
        assert "InstanceGroupNames" in text
    assert "epoch=" not in (hosts["algo-1"] / "stdout.log").read_text()


@pytest.mark.skipif(not LONG, reason="that the chief goes on is tested beside `exchange`")
def test_a_host_that_is_lost_after_training_does_not_fail_the_job(
    tmp_path: Path, parts: Channels
) -> None:
    hosts = make_hosts(tmp_path, [parts] * 2, {**SMALL, "epochs": "1"})
    with start(hosts) as processes:
        log = hosts["algo-1"] / "stderr.log"
        deadline = time.monotonic() + 120
        while "Temperature fitted" not in log.read_text():
            assert time.monotonic() < deadline
            with suppress(subprocess.TimeoutExpired):
                processes["algo-1"].wait(0.05)
        processes["algo-2"].kill()
        assert processes["algo-1"].wait(timeout=120) == 0, log.read_text()
    assert "Host algo-2 is gone" in log.read_text()
    assert (hosts["algo-1"] / "model" / "model.json").is_file()


def test_a_host_that_never_comes_is_named(tmp_path: Path, parts: Channels) -> None:
    hosts = make_hosts(tmp_path, [parts] * 3, SMALL)
    del hosts["algo-3"]
    codes = run(hosts, BRAIN_TUMOR_CLUSTER_WAIT_SECONDS="4")
    assert 0 not in codes.values()
    for ml_dir in hosts.values():
        assert failure(ml_dir).startswith("Host algo-3 could not be reached from algo-")
