"""training.cluster: who the hosts are, how they meet, what the chief tells the rest."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from brain_tumor.errors import DataError
from brain_tumor.settings import Settings
from brain_tumor.training.cluster import ALONE, Cluster, Hosts, read_hosts
from brain_tumor.training.exchange import HostError
from brain_tumor.training.failure import exit_code_of
from brain_tumor.training.meeting import join
from tests.hosts import meet
from tests.ports import free_ports

GROUPS = [{"instance_group_name": "g", "instance_type": "t", "hosts": ["algo-2", "algo-1"]}]
WAIT = 60


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"topology": None, "instance_groups": None, "network_interface_name": "ethwe"},
        {"instance_groups": GROUPS, "current_group_name": "g", "topology": []},
    ],
)
def test_hosts_are_sorted_whatever_else_the_file_says(more: dict[str, Any]) -> None:
    config = {"current_host": "algo-10", "hosts": ["algo-2", "algo-10", "algo-1"], **more}
    hosts = read_hosts(config)
    assert hosts.names == ("algo-1", "algo-10", "algo-2")
    assert (hosts.chief, hosts.index) == ("algo-1", 1)


@pytest.mark.parametrize("names", [{}, {"hosts": None}, {"hosts": []}, {"hosts": ["algo-1-x"]}])
def test_a_host_of_whom_no_others_are_known_is_alone(names: dict[str, Any]) -> None:
    hosts = read_hosts({"current_host": "algo-1-x", **names})
    assert hosts == Hosts(("algo-1-x",), "algo-1-x")
    assert join(hosts, Settings(), lambda: False, pytest.fail).size == 1


def test_a_host_that_is_not_among_the_hosts_is_refused() -> None:
    with pytest.raises(DataError, match=r"current_host 'b' is not among the hosts a, c"):
        read_hosts({"current_host": "b", "hosts": ["c", "a"]})


def test_tf_config_is_that_of_the_platforms_own_images() -> None:
    ports = {name: (name, 8890) for name in ("algo-1", "algo-2")}
    cluster = Cluster(Hosts(("algo-1", "algo-2"), "algo-2"), ports)
    assert json.loads(cluster.tf_config()) == {
        "cluster": {"worker": ["algo-1:8890", "algo-2:8890"]},
        "environment": "cloud",
        "task": {"type": "worker", "index": 1},
    }


def test_alone_nothing_is_asked_of_anyone() -> None:
    stop = threading.Event()
    asked = ALONE.agreed(stop.is_set)
    assert not asked()
    stop.set()
    assert asked()
    assert ALONE.told_by_chief(lambda: 3) == 3
    assert ALONE.is_chief


def test_hosts_that_met_are_told_the_same_by_the_chief() -> None:
    def call(cluster: Cluster) -> object:
        own = f"said by {cluster.hosts.current}"
        return (
            cluster.told_by_chief(lambda: [own, 0.1]),
            cluster.clock(),
            cluster.from_each(lambda: own.encode()),
        )

    first, *others = meet(("algo-1", "algo-2", "algo-3"), call)
    assert first[0] == ["said by algo-1", 0.1]
    assert first[2] == [b"said by algo-1", b"said by algo-2", b"said by algo-3"]
    assert others == [first, first]


def test_a_stop_that_one_host_hears_is_agreed_by_all_at_the_same_question() -> None:
    def call(cluster: Cluster) -> object:
        answers: list[bool] = []
        # The chief hears it before the third question.
        stop = cluster.agreed(lambda: cluster.is_chief and len(answers) == 2)
        for _ in range(4):
            answers.append(stop())
        return answers

    assert meet(("algo-1", "algo-2"), call) == [[False, False, True, False]] * 2


def test_an_error_becomes_one_that_names_its_host() -> None:
    def call(cluster: Cluster) -> object:
        raise DataError("Train.zip is damaged")

    for name, error in zip(("algo-1", "algo-2"), meet(("algo-1", "algo-2"), call), strict=True):
        assert str(error) == f"Host {name}: Train.zip is damaged"


def test_what_a_host_ends_with_is_its_exit_code_beside_others_too() -> None:
    def call(cluster: Cluster) -> object:
        raise SystemExit(7)

    for error in meet(("algo-1", "algo-2"), call):
        assert exit_code_of(error) == 7


def test_a_port_that_is_taken_is_named_with_the_host_and_the_setting() -> None:
    port = next(free_ports())
    settings = Settings(cluster_addresses={"a": f"127.0.0.1:{port}", "b": "127.0.0.1:1"})
    with (
        socket.create_server(("", port + 1)),
        pytest.raises(HostError, match=rf"Host a cannot .* {port + 1}: .*BRAIN_TUMOR_CLUSTER_PORT"),
    ):
        join(Hosts(("a", "b"), "a"), settings, lambda: False, pytest.fail)


def test_strangers_at_the_chiefs_port_are_hung_up_on() -> None:
    port = next(free_ports())
    settings = Settings(
        cluster_addresses={"a": f"127.0.0.1:{port}", "b": "127.0.0.1:1"}, cluster_wait_seconds=2
    )

    chief = ("127.0.0.1", port + 1)

    def knock() -> bytes:
        for _ in range(100):
            with suppress(ConnectionRefusedError), socket.create_connection(chief) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                return stranger.recv(1)
            threading.Event().wait(0.05)
        raise AssertionError("nobody listens")

    with ThreadPoolExecutor(1) as pool:
        heard = pool.submit(knock)
        with pytest.raises(HostError, match=r"Host b could not be reached from a within 2 s"):
            join(Hosts(("a", "b"), "a"), settings, lambda: False, pytest.fail)
        with suppress(ConnectionResetError):
            assert heard.result(WAIT) == b""


def test_a_stop_while_hosts_are_waited_for_ends_the_job() -> None:
    settings = Settings(cluster_addresses={"a": f"127.0.0.1:{next(free_ports())}"})
    with pytest.raises(HostError, match="Asked to stop while waiting for host b"):
        join(Hosts(("a", "b"), "a"), settings, lambda: True, pytest.fail)
