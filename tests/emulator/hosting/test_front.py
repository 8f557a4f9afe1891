"""The front's own faults: what goes wrong in the emulator, and not in a container."""

import contextlib
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting import front
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.health import Ping
from local_test.emulator.hosting.targets import Answer, Call
from tests.emulator.hosting.conftest import runtime


class _Broken:
    """A target that fails as no container does, before its answer or after the first part."""

    status, headers, container = 200, {"content-type": "text/plain"}, "primary"

    def __init__(self, error: Exception, *, late: bool = False) -> None:
        self._error = error
        self._late = late

    @contextmanager
    def open(self, _call: Call) -> Iterator[Answer]:
        if not self._late:
            raise self._error
        yield self

    def parts(self) -> Iterator[bytes]:
        yield b"first"
        raise self._error

    def ping(self) -> Ping:
        return Ping(200, 0)


@contextlib.contextmanager
def _client(target: _Broken, notes: list[str]) -> Iterator[Any]:
    with (
        front.running(Endpoint("stub", target), note=notes.append) as url,
        contextlib.closing(runtime(url)) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("error", "noted"),
    [(RuntimeError("a bug"), "Traceback"), (EmulatorError("a cold start failed"), "a cold start")],
)
def test_a_fault_of_the_emulator_is_internal_failure_with_500_and_stands_in_the_log(
    error: Exception, noted: str
) -> None:
    notes: list[str] = []
    with _client(_Broken(error), notes) as client:
        for _ in range(2):
            with pytest.raises(ClientError) as refused:
                client.invoke_endpoint(EndpointName="stub", Body=b"x")
            assert refused.value.response["Error"]["Code"] == "InternalFailure"
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
            assert str(error) in refused.value.response["Error"]["Message"]
            # So that the next call does not go into a connection that ends.
            headers = refused.value.response["ResponseMetadata"]["HTTPHeaders"]
            assert headers["connection"] == "close"
    assert [note.startswith(noted) for note in notes] == [True, True]


def test_a_fault_of_the_emulator_in_a_stream_ends_it_with_an_event() -> None:
    notes: list[str] = []
    with _client(_Broken(RuntimeError("a bug"), late=True), notes) as client:
        answered = client.invoke_endpoint_with_response_stream(EndpointName="stub", Body=b"x")
        with contextlib.closing(answered["Body"]) as stream:
            events = iter(stream)
            assert next(events) == {"PayloadPart": {"Bytes": b"first"}}
            with pytest.raises(EventStreamError, match=r"InternalStreamFailure.*a bug"):
                next(events)
    assert len(notes) == 1


def test_a_hundred_calls_at_once_find_a_place_in_the_queue() -> None:
    # Nobody takes them, so that all have to wait there.
    with front.Server(("127.0.0.1", 0), front.Handler) as server, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(socket.socket()) for _ in range(100)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.server_address)
        for one in waiting:
            assert select.select([], [one], [], 1)[1], "turned away"
