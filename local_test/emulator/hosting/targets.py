"""What answers an endpoint's calls; here, one container with one model."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from local_test.emulator.hosting.api_errors import ServiceUnavailableError, ValidationError
from local_test.emulator.hosting.exchange import Address, Opened, opened
from local_test.emulator.hosting.health import Ping


@dataclass(frozen=True)
class Call:
    """One invocation on its way to a container.

    Attributes:
        body: What is sent.
        headers: What the container gets.
        seconds: What it may take in all.
        target_model: Which model of a multi-model endpoint it is for.
    """

    body: bytes
    headers: Mapping[str, str]
    seconds: float
    target_model: str | None = None


class Answer(Protocol):
    """An answer whose status and headers are there; its body still comes."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are in lower case."""

    @property
    def container(self) -> str:
        """Which container answers."""

    def parts(self) -> Iterator[bytes]:
        """Give the body as it comes."""


class Target(Protocol):
    """What an endpoint passes its calls to."""

    def open(self, call: Call) -> AbstractContextManager[Answer]:
        """Send a call and give the answer; the call ends with the block."""

    def ping(self) -> Ping:
        """Ask for its health once."""


class Listening(Protocol):
    """What can be asked: a `Server`, or one that somebody else started."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    def address(self) -> Address | None:
        """Where it listens, or None before that is known."""

    def ended(self) -> int | None:
        """Return its exit code, or None while it runs."""

    def ping(self) -> Ping:
        """Ask for its health once."""


class Single:
    """One container with one model."""

    def __init__(self, server: Listening) -> None:
        self._server = server

    @contextmanager
    def open(self, call: Call) -> Iterator[Opened]:
        """Send a call to /invocations."""
        refuse_target_model(call)
        with opened(
            listening(self._server),
            "POST",
            "/invocations",
            body=call.body,
            headers=call.headers,
            seconds=call.seconds,
        ) as answer:
            answer.container = self._server.name
            yield answer

    def ping(self) -> Ping:
        """Ask the container for its health once."""
        return self._server.ping()


def refuse_target_model(call: Call) -> None:
    """Refuse a call for one of several models.

    Raises:
        ValidationError: The call names a model.
    """
    if call.target_model is not None:
        raise ValidationError(
            "Target model header should not be specified: this endpoint has one model. "
            "The emulator's command `multi-model` makes one that has several."
        )


def listening(server: Listening) -> Address:
    """Return where a server listens.

    Raises:
        ServiceUnavailableError: It has ended.
    """
    address = server.address()
    if address is None or server.ended() is not None:
        raise ServiceUnavailableError(f"{server.name} has ended with exit code {server.ended()}.")
    return address
