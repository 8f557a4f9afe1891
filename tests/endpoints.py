"""The tests' server as an endpoint of the emulator, which boto3 asks as it asks SageMaker."""

from collections.abc import Iterator
from contextlib import contextmanager

from local_test.emulator.hosting import front
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.exchange import Address
from local_test.emulator.hosting.health import HealthLimits, Ping, ping
from local_test.emulator.hosting.targets import Single
from tests.server import Server


@contextmanager
def running(server: Server, name: str) -> Iterator[str]:
    """Give the URL of a runtime that has one endpoint, which the server answers."""
    with front.running(Endpoint(name, Single(_Started(server)))) as url:
        yield url


class _Started:
    """The tests' server, as the emulator's endpoints ask one."""

    name = "serve"

    def __init__(self, server: Server) -> None:
        self._server = server

    def address(self) -> Address:
        return Address("127.0.0.1", self._server.port)

    def ended(self) -> int | None:
        return self._server.process.poll()

    def ping(self) -> Ping:
        return ping(self.address(), HealthLimits())
