"""A serial inference pipeline: containers that share one network, each told its port."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.definition import Definition
from local_test.emulator.hosting.exchange import Opened
from local_test.emulator.hosting.health import Ping
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import Call, Single

LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
LENGTHS = range(2, 15 + 1)
# Not 8080: a container that does not heed the variable is found out.
_FIRST_PORT = 8081
_FIRST_SAFE_PORT = 21000
_SAFE_PORTS = 1000


def check_length(count: int) -> None:
    """Refuse too few or too many containers.

    Raises:
        EmulatorError: CreateModel would.
    """
    if count not in LENGTHS:
        raise EmulatorError(
            f"{count} containers in a pipeline: SageMaker takes {LENGTHS[0]} to {LENGTHS[-1]}."
        )


def stage_port(rank: int) -> int:
    """Return the port of the container at this place, from 0."""
    return _FIRST_PORT + rank


def staged(definition: Definition, rank: int) -> Definition:
    """Return the container at this place, from 0, with its name and the platform's variables."""
    first = _FIRST_SAFE_PORT + rank * _SAFE_PORTS
    platform = {
        **definition.platform,
        "SAGEMAKER_BIND_TO_PORT": str(definition.port),
        "SAGEMAKER_SAFE_PORT_RANGE": f"{first}-{first + _SAFE_PORTS - 1}",
    }
    return replace(definition, name=f"container-{rank + 1}", platform=platform)


class Pipeline:
    """Several containers: what one answers is what the next is asked, with its content type."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._stages = [Single(server) for server in servers]

    @contextmanager
    def open(self, call: Call) -> Iterator[Opened]:
        """Send a call through all; the first answer that is no success is the answer."""
        end = time.monotonic() + call.seconds
        *firsts, last = self._stages
        for stage in firsts:
            with stage.open(call) as answer:
                if answer.status // 100 != 2:
                    yield answer
                    return
                call = _next(call, answer, end)
        with last.open(call) as answer:
            yield answer

    def ping(self) -> Ping:
        """Return the first answer of a container that is not healthy, or else the last one's."""
        pings = [stage.ping() for stage in self._stages]
        return next((ping for ping in pings if not ping.healthy), pings[-1])


def _next(call: Call, answer: Opened, end: float) -> Call:
    """Return what the next container is asked after an answer; all have one time together."""
    body = b"".join(answer.parts())
    given = answer.headers.get("content-type", call.headers["Content-Type"])
    headers = {**call.headers, "Content-Type": given}
    return replace(call, body=body, headers=headers, seconds=max(0.0, end - time.monotonic()))
