"""Jobs on several hosts in the Docker image: containers with names on a network of their own."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docker import container, docker, inspect, logs, needs_docker, wait
from tests.hosts import SMALL, Channels, failure, make_hosts, shards

pytestmark = needs_docker


@pytest.fixture
def network() -> Iterator[str]:
    """Give a network that leads nowhere, as EnableNetworkIsolation has it."""
    name = f"brain-tumor-hosts-{time.monotonic_ns()}"
    made = docker("network", "create", "--internal", name)
    assert made.returncode == 0, made.stderr
    yield name
    docker("network", "rm", name)


def _start(
    stack: ExitStack, image: str, network: str, hosts: Mapping[str, Path], names: list[str]
) -> dict[str, str]:
    """Run `train` on the hosts of these names; give their containers."""
    return {
        name: stack.enter_context(
            container(
                *("--network", network, "--network-alias", name, "--hostname", name),
                *("-v", f"{hosts[name]}:/opt/ml", image, "train"),
            )
        )
        for name in names
    }


def _wait_for(identifier: str, text: str) -> None:
    deadline = time.monotonic() + 240
    while text not in logs(identifier):
        assert time.monotonic() < deadline, logs(identifier)
        assert inspect(identifier)["State"]["Running"], logs(identifier)
        time.sleep(0.5)


def test_two_hosts_with_all_the_data_train_one_model(
    image: str, network: str, prepared: Path, tmp_path: Path
) -> None:
    parts = {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")}
    hosts = make_hosts(tmp_path, [parts, parts], SMALL)
    with ExitStack() as stack:
        # Names come later than containers: algo-1 has to look for algo-2 more than once.
        running = _start(stack, image, network, hosts, ["algo-1"])
        _wait_for(running["algo-1"], "Waiting for the hosts algo-1, algo-2")
        running.update(_start(stack, image, network, hosts, ["algo-2"]))
        assert [wait(each) for each in running.values()] == [0, 0], logs(running["algo-1"])
    assert (hosts["algo-1"] / "model" / "1" / "saved_model.pb").is_file()
    assert list((hosts["algo-2"] / "model").iterdir()) == []


def test_three_hosts_of_two_groups_with_shards_lose_one_and_go_on_from_its_checkpoint(
    image: str, network: str, prepared: Path, tmp_path: Path
) -> None:
    # The third has none of any channel: ShardedByS3Key divides objects, and there are too few.
    channels: list[Channels] = [*shards(prepared, tmp_path), {}]
    groups = {"large": "ml.c7i.4xlarge", "small": "ml.c7i.large"}
    hosts = make_hosts(tmp_path, channels, {**SMALL, "epochs": "10000"}, groups)
    # Only where the platform was asked for checkpoints is the folder there, and on one host here.
    (hosts["algo-1"] / "checkpoints").mkdir()
    with ExitStack() as stack:
        running = _start(stack, image, network, hosts, list(hosts))
        _wait_for(running["algo-1"], "epoch=2;")
        killed = time.monotonic()
        docker("kill", running["algo-3"])
        assert [wait(running[name]) for name in ("algo-1", "algo-2")] == [1, 1]
        assert time.monotonic() - killed < 60
    for name in ("algo-1", "algo-2"):
        assert failure(hosts[name]).startswith("Host algo-3 is gone")
    assert list((hosts["algo-1"] / "model").iterdir()) == []
    with ExitStack() as stack:
        running = _start(stack, image, network, hosts, list(hosts))
        _wait_for(running["algo-1"], "Training goes on from checkpoint")
        _wait_for(running["algo-1"], "epoch=")
        # One host hears the stop; all end with the same step and exit code 0.
        docker("kill", "--signal", "TERM", running["algo-2"])
        assert [wait(each) for each in running.values()] == [0, 0, 0], logs(running["algo-1"])
        assert "epoch=1;" not in logs(running["algo-1"])
    history = json.loads((hosts["algo-1"] / "output/data/training_history.json").read_text())
    assert history["epochs"][0]["epoch"] == 1
    assert history["ended"] == "asked to stop"
