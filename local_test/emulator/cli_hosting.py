"""What the commands of hosting share: options, and the making of a launcher from them."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from local_test.emulator.cli_image import check_given, engine_for
from local_test.emulator.console import Console
from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting import front
from local_test.emulator.hosting.asynchronous import AsyncInvocations
from local_test.emulator.hosting.definition import PORT, Definition
from local_test.emulator.hosting.endpoint import MB, Endpoint
from local_test.emulator.hosting.health import HealthLimits
from local_test.emulator.hosting.launch import Containers, Launcher, Lifecycle, commands
from local_test.emulator.hosting.server import GRACE_SECONDS, Server
from local_test.emulator.interrupts import Interrupts
from local_test.emulator.process import refuse_without_docker
from local_test.emulator.specification import parse_pairs

_LOOK_SECONDS = 0.2
PATH = click.Path(path_type=Path, exists=True)
FOLDER = click.Path(path_type=Path, file_okay=False)
IMAGE = click.argument("image", required=False)
COMMAND = click.option("--command", help='Run this instead of an image, such as "serve".')
MODEL = click.option("--model", type=PATH, help="model.tar.gz, or a folder in its place.")


@dataclass(frozen=True)
class Hosting:
    """The options that commands of hosting share."""

    env: tuple[str, ...]
    healthy_timeout: float
    grace: float
    # What an instance has, and serverless has not.
    memory: str | None = None
    gpus: bool = False
    isolated: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """The user's variables."""
        return parse_pairs(self.env, "--env")

    def lifecycle(self, console: Console, healthy: float | None = None) -> Lifecycle:
        """Return what holds for all servers; logs go to the console."""
        return Lifecycle(
            HealthLimits(healthy=healthy or self.healthy_timeout),
            self.grace,
            console.line,
        )

    def definition(self, launcher: Launcher, port: int = PORT, **fields: Any) -> Definition:
        """Return a container with these options; more fields replace them."""
        given = {"environment": self.environment, "memory": self.memory, "gpus": self.gpus}
        return Definition(port=launcher.port(port), **{**given, **fields})


_INSTANCE = [
    click.option("--memory", help="Memory of the instance, such as 4g."),
    click.option("--gpus", is_flag=True, help="Give the container all GPUs."),
    click.option("--isolated", is_flag=True, help="Network isolation: nothing can be reached."),
]
_OPTIONS = [
    click.option("--env", multiple=True, help="An environment variable, KEY=VALUE; repeat it."),
    click.option("--healthy-timeout", default=480.0, help="Seconds until it must be healthy."),
    click.option("--grace", default=GRACE_SECONDS, help="Seconds from SIGTERM to SIGKILL."),
]
_FRONT = [
    click.option("--port", default=0, type=click.IntRange(0, 65535), help="Of the front; 0: any."),
    click.option("--endpoint-name", default="emulator", help="The endpoint's name."),
]


def serverless_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that all of hosting has, as the argument `hosting`."""

    @functools.wraps(function)
    def wrapped(**values: Any) -> None:
        own = {name: values.pop(name) for name in Hosting.__dataclass_fields__ if name in values}
        function(hosting=Hosting(**own), **values)

    return _with(_OPTIONS, wrapped)


def options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command those, and what an instance has."""
    return _with(_INSTANCE, serverless_options(function))


def _with(given: list[Any], function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(given):
        function = option(function)
    return function


def front_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the front."""
    return _with(_FRONT, function)


@contextmanager
def launched(
    image: str | None, command: str | None, hosting: Hosting, lifecycle: Lifecycle, console: Console
) -> Iterator[Launcher]:
    """Give what makes servers of an image or a command; signals end the block.

    Raises:
        click.UsageError: Neither or both are given.
    """
    check_given(image, command)
    if command:
        refuse_without_docker({"network isolation": hosting.isolated})
        with Interrupts().caught(), commands(command, lifecycle) as launcher:
            yield launcher
        return
    with engine_for(str(image), console) as engine:
        yield Containers(engine, str(image), lifecycle, isolated=hosting.isolated)


def lead(
    endpoint: Endpoint,
    servers: list[Server],
    port: int,
    console: Console,
    asynchronous: AsyncInvocations | None = None,
) -> None:
    """Print the front's URL on stdout, and go on until a signal comes or a container ends.

    Raises:
        EmulatorError: A container has ended.
    """
    with front.running(endpoint, port, asynchronous, console.note) as url:
        console.note(
            f"endpoint {endpoint.name} is InService. "
            f'boto3.client("sagemaker-runtime", endpoint_url="{url}"), or: curl '
            f"{url}/endpoints/{endpoint.name}/invocations -H 'Content-Type: …' --data-binary @FILE"
        )
        click.echo(url)
        while all(server.ended() is None for server in servers):
            time.sleep(_LOOK_SECONDS)
    for server in servers:
        if (code := server.ended()) is not None:
            raise EmulatorError(f"{server.name} ended with exit code {code}:\n{server.log()}")


def payload_bytes(megabytes: float) -> int:
    """Return the bytes of a limit in MB."""
    return round(megabytes * MB)
