"""Starting, health and stopping of what serves, with a command in place of a container."""

import socket
import time
from pathlib import Path

import pytest

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.definition import Definition, model_folder
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.exchange import Address
from local_test.emulator.hosting.health import HealthLimits, NotHealthyError, ping
from local_test.emulator.hosting.launch import Lifecycle, commands
from local_test.emulator.hosting.targets import Single
from tests.emulator.hosting.conftest import QUICK, STUB, fronted, model_archive, stub_server


def test_a_server_that_loads_is_healthy_once_it_answers_200_twice_in_a_row() -> None:
    with stub_server(environment={"LOAD_SECONDS": "0.4"}) as server:
        statuses = [ping.status for ping in server.pings]
    assert 503 in statuses
    assert statuses[-2:] == [200, 200]
    assert 200 not in statuses[:-2]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PING_STATUS": "404"}, r"It was not healthy after .* times status 404"),
        ({"PING_SECONDS": "5"}, r"no complete answer within 0.3 s"),
        ({"FAILS": "1"}, r"(?s)ended with exit code 3.*No module named 'joblib'"),
    ],
)
def test_a_failed_health_check_says_what_was_seen_and_what_was_printed(
    environment: dict[str, str], words: str
) -> None:
    limits = HealthLimits(ping=0.3, healthy=2, interval=0.05)
    with (
        pytest.raises(NotHealthyError, match=words),
        stub_server(health=limits, environment=environment),
    ):
        pass


def test_a_command_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(NotHealthyError, match="no-such-program cannot be started"),
        stub_server("no-such-program serve"),
    ):
        pass


def test_a_server_without_room_for_a_connection_fails_after_250_ms() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        try:
            seen = ping(Address("127.0.0.1", port), QUICK)
        finally:
            for one in waiting:
                one.close()
    assert seen.error == "no connection within 250 ms"
    assert 0.25 <= seen.seconds < 0.5


def test_it_ends_with_sigterm() -> None:
    with stub_server() as server:
        stopped = server.stop()
        assert (stopped.code, stopped.killed) == (0, False)
        assert "ended by SIGTERM" in server.log()


def test_one_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    with stub_server(grace=0.3, environment={"DEAF": "1"}) as server:
        stopped = server.stop()
    assert stopped.killed
    assert 0.3 <= stopped.seconds < 5


def test_calls_after_the_end_of_the_container_find_the_service_unavailable() -> None:
    with stub_server() as server, fronted(Endpoint("stub", Single(server))) as client:
        with pytest.raises(client.exceptions.ModelError, match="the connection broke"):
            client.invoke_endpoint(EndpointName="stub", Body=b'{"die": 4}')
        deadline = time.monotonic() + 10
        while server.ended() is None:
            assert time.monotonic() < deadline
        with pytest.raises(client.exceptions.ServiceUnavailable, match="ended with exit code 4"):
            client.invoke_endpoint(EndpointName="stub", Body=b"x")


def test_a_model_archive_is_unpacked_where_every_user_can_read_it(tmp_path: Path) -> None:
    archive = model_archive(tmp_path, {"1/weights": b"w", "model.json": b"{}"})
    with model_folder(archive) as folders:
        unpacked = folders["model"]
        assert unpacked.stat().st_mode & 0o777 == 0o755
        assert (unpacked / "1/weights").stat().st_mode & 0o777 == 0o644
        with stub_server(folders=folders) as server:
            answer = Endpoint("stub", Single(server)).invoke(b"x")
    assert b'"files": ["1", "1/weights", "model.json"]' in answer.body
    assert not unpacked.exists()


def test_an_environment_that_create_model_refuses_is_refused() -> None:
    with pytest.raises(EmulatorError, match="SageMaker takes 1024 and 1024"):
        Definition(environment={"K": "v" * 1025})
    with pytest.raises(EmulatorError, match=r"33.* bytes: SageMaker takes 32768 in all"):
        Definition(environment={f"{n:04}": "v" * 1000 for n in range(33)})


def test_limits_of_a_container_need_docker() -> None:
    with (
        pytest.raises(EmulatorError, match="no emulation of a memory limit"),
        stub_server(memory="1g"),
    ):
        pass


def test_no_process_is_left_when_a_block_ends_with_an_error() -> None:
    with pytest.raises(RuntimeError), stub_server() as server:  # noqa: PT012
        answered = Endpoint("stub", Single(server)).invoke(b"x")
        assert answered.status == 200
        raise RuntimeError
    assert server.ended() == 0
    assert ping(server.address() or Address("", 0), QUICK).error.startswith("no connection")


def test_a_server_that_can_no_longer_be_watched_says_so_instead_of_seeming_to_run() -> None:
    def broken(_name: str, line: str) -> None:
        raise OSError(f"the log is full: {line}")

    with commands(STUB, Lifecycle(QUICK, on_line=broken)) as launcher:
        definition = Definition(port=launcher.port(8080), environment={"FAILS": "1"})
        with (
            pytest.raises(EmulatorError, match=r"can no longer be watched: OSError.*joblib"),
            launcher.make(definition),
        ):
            pass
