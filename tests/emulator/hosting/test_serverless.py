"""Serverless endpoints: cold starts and concurrency, with a command in place of the container."""

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.api_errors import ServiceUnavailableError
from local_test.emulator.hosting.definition import Definition
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.exchange import PRIMARY
from local_test.emulator.hosting.health import HealthLimits
from local_test.emulator.hosting.launch import Lifecycle, commands
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.serverless import LIMITS, Serverless, ServerlessConfig
from tests.emulator.hosting.conftest import QUICK, STUB, fronted


@contextlib.contextmanager
def _serverless(
    concurrency: int = 1, idle: float | None = None
) -> Iterator[tuple[Serverless, Any]]:
    with commands(STUB, Lifecycle(QUICK, grace=10)) as launcher:

        def make() -> Server:
            return launcher.make(Definition(port=launcher.port(8080)))

        with (
            Serverless(make, concurrency, idle=idle) as target,
            fronted(Endpoint("stub", target, LIMITS)) as client,
        ):
            yield target, client


def _invoke(client: Any, wanted: dict[str, Any]) -> bytes:
    answered = client.invoke_endpoint(EndpointName="stub", Body=json.dumps(wanted))
    body: bytes = answered["Body"].read()
    return body


def test_a_container_that_nobody_calls_ends_and_the_next_call_starts_it_cold() -> None:
    with _serverless(idle=0.2) as (target, client):
        _invoke(client, {"status": 200})
        deadline = time.monotonic() + 10
        while len(target.cold_starts) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.3)
            assert _invoke(client, {"status": 200, "message": "warm"}) == b"warm"
        assert all(0.05 < seconds < 10 for seconds in target.cold_starts)


def test_a_warm_container_is_not_started_again_and_one_that_died_is() -> None:
    with _serverless() as (target, client):
        _invoke(client, {"status": 200})
        assert len(target.cold_starts) == 1
        with pytest.raises(ClientError, match="the connection broke"):
            _invoke(client, {"die": 1})
        deadline = time.monotonic() + 10
        while len(target.cold_starts) < 2:
            assert time.monotonic() < deadline
            with contextlib.suppress(ClientError):
                _invoke(client, {"status": 200})
        assert target.ping().healthy


def test_more_calls_at_once_than_max_concurrency_are_throttled() -> None:
    with _serverless(concurrency=1) as (target, client):
        endpoint = Endpoint("stub", target, LIMITS)
        with endpoint.stream(b'{"parts": ["a", "b"]}'):
            with pytest.raises(ClientError) as refused:
                _invoke(client, {"status": 200})
            assert refused.value.response["Error"]["Code"] == "ThrottlingException"
        assert _invoke(client, {"status": 200, "message": "free"}) == b"free"


def test_no_container_outlives_the_endpoint_also_not_for_a_call() -> None:
    made: list[Server] = []
    with commands(STUB, Lifecycle(QUICK, grace=10)) as launcher:

        def make() -> Server:
            made.append(launcher.make(Definition(port=launcher.port(8080))))
            return made[-1]

        with contextlib.ExitStack() as stack:
            target = stack.enter_context(Serverless(make, 1))
            call = Endpoint("stub", target).stream(b'{"parts": ["a", "b"], "pause": 60}')
            # Entered before the endpoint ends, and left after it.
            with call:
                stack.close()
                assert [server.ended() for server in made] == [0]


def test_a_payload_above_4_mb_is_refused() -> None:
    with _serverless() as (_, client), pytest.raises(ClientError, match="equal to 4194304"):
        client.invoke_endpoint(EndpointName="stub", Body=bytes(4194305))


@pytest.mark.parametrize("fields", [{"memory_mb": 1536}, {"memory_mb": 7168}, {"concurrency": 201}])
def test_what_the_api_refuses_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(EmulatorError, match=r"MemorySizeInMB|MaxConcurrency"):
        ServerlessConfig(**fields)


def test_processors_grow_with_memory_up_to_what_there_are() -> None:
    assert ServerlessConfig(1024).options(cpus=2)["nano_cpus"] == round(1024 / 1769 * 1e9)
    assert ServerlessConfig(6144).options(cpus=2)["nano_cpus"] == 2_000_000_000


def test_no_container_is_started_after_the_end_of_the_endpoint() -> None:
    with _serverless() as (target, _):
        endpoint = Endpoint("stub", target)
        target.cool()
    with pytest.raises(ServiceUnavailableError, match="The endpoint has ended"):
        endpoint.invoke(b"x")
    assert len(target.cold_starts) == 1


def test_the_end_of_the_endpoint_does_not_wait_for_a_cold_start() -> None:
    """Two cold starts: the first is healthy at once, the second never."""
    made: list[Server] = []
    with commands(STUB, Lifecycle(HealthLimits(healthy=60, interval=0.05), grace=10)) as launcher:

        def make() -> Server:
            environment = {"PING_STATUS": "503" if made else "200"}
            made.append(launcher.make(Definition(PRIMARY, environment, port=launcher.port(8080))))
            return made[-1]

        with ThreadPoolExecutor() as pool:
            with Serverless(make, 1) as target:
                target.cool()
                asked = pool.submit(Endpoint("stub", target).invoke, b"x")
                deadline = time.monotonic() + 10
                while len(made) < 2 or made[-1].pid() is None:
                    assert time.monotonic() < deadline
                start = time.monotonic()
            assert time.monotonic() - start < 10
            with pytest.raises(EmulatorError, match="no longer waited for"):
                asked.result()
    pid = made[-1].pid()
    assert pid
    assert not Path(f"/proc/{pid}").exists()
