"""Making servers: containers on a Docker engine, or commands of this machine."""

import functools
import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local_test.emulator.container import Container
from local_test.emulator.engine import Bind, Engine
from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.definition import Definition
from local_test.emulator.hosting.exchange import Address
from local_test.emulator.hosting.health import HealthLimits
from local_test.emulator.hosting.server import GRACE_SECONDS, Server
from local_test.emulator.process import Process, refuse_without_docker, split_words


@dataclass(frozen=True)
class Lifecycle:
    """What holds for all servers of a run: health checks, seconds to end, where logs go."""

    health: HealthLimits = field(default_factory=HealthLimits)
    grace: float = GRACE_SECONDS
    on_line: Callable[[str, str], None] = lambda _name, _line: None

    def server(
        self, name: str, running: Container | Process, find: Callable[[], Address | None], ml: str
    ) -> Server:
        """Return a server, not yet started."""
        return Server(
            name,
            running,
            find,
            ml=ml,
            limits=self.health,
            on_line=functools.partial(self.on_line, name),
            grace=self.grace,
        )


class Launcher(Protocol):
    """Makes what serves one image or one command."""

    def make(self, definition: Definition) -> Server:
        """Make a server, not yet started."""

    def port(self, wanted: int) -> int:
        """Return the port for a server that would have this one to itself on the platform."""

    def cpus(self) -> int:
        """Return how many processors there are for all."""

    def require_label(self, label: str) -> None:
        """Refuse an image that does not announce what is asked of it; a command announces nothing.

        Raises:
            EmulatorError: The image has no such label that is `true`.
        """

    def beside(self, name: str) -> "Launcher":
        """Return what makes servers of another image or command that share the network."""


class Containers:
    """Makes containers of an image on a network of their own.

    Args:
        engine: Where.
        image: Their image.
        lifecycle: What holds for all of them.
        isolated: Whether the network leads nowhere.
        beside: What made the container whose network, localhost included, is shared.
    """

    def __init__(
        self,
        engine: Engine,
        image: str,
        lifecycle: Lifecycle,
        *,
        isolated: bool = False,
        beside: "Containers | None" = None,
    ) -> None:
        self._engine = engine
        self._image = image
        self._lifecycle = lifecycle
        self._beside = beside
        self._network: str = beside._network if beside else engine.network(internal=isolated)
        self._published = not engine.reaches(self._network)
        if self._published:
            _check_published(engine, isolated=isolated, beside=beside is not None)
        self.first: Container | None = None

    def port(self, wanted: int) -> int:
        """Return the port itself: a container has all ports to itself."""
        return wanted

    def cpus(self) -> int:
        """Return how many processors the engine has."""
        return int(self._engine.client.info()["NCPU"])

    def require_label(self, label: str) -> None:
        """Refuse an image without a label."""
        if self._engine.image_labels(self._image).get(label) != "true":
            raise EmulatorError(
                f"The image {self._image} has no label {label}=true: SageMaker refuses it for "
                f"this. In the Dockerfile: LABEL {label}=true"
            )

    def beside(self, name: str) -> "Containers":
        """Return what makes containers of another image in the network of the first."""
        self._engine.check_image(name)
        return Containers(self._engine, name, self._lifecycle, beside=self)

    def make(self, definition: Definition) -> Server:
        """Make a container that is to run `serve`."""
        variables = {**definition.environment, **definition.platform}
        neighbour = self._beside.first if self._beside else None
        options = dict(definition.options)
        if neighbour:
            options["network_mode"] = f"container:{neighbour.id}"
        elif self._published:
            options["ports"] = {f"{definition.port}/tcp": ("127.0.0.1", None)}
        container = self._engine.container(
            self._image,
            ["serve"],
            binds=[Bind(str(p), f"/opt/ml/{name}") for name, p in definition.folders.items()],
            alias=None if neighbour else (self._network, definition.name),
            memory=definition.memory,
            gpus=definition.gpus,
            environment=variables,
            **options,
        )
        reached = self.first = neighbour or container

        def find() -> Address | None:
            return self._address(reached, definition.port)

        return self._lifecycle.server(definition.name, container, find, "/opt/ml")

    def _address(self, container: Container, port: int) -> Address | None:
        settings = container.attributes["NetworkSettings"]
        if self._published:
            published = settings["Ports"].get(f"{port}/tcp")
            return Address("127.0.0.1", int(published[0]["HostPort"])) if published else None
        own = settings["Networks"][self._network]["IPAddress"]
        return Address(own, port) if own else None


def _check_published(engine: Engine, *, isolated: bool, beside: bool) -> None:
    """Refuse what cannot be done where a container is reached by a published port alone.

    Raises:
        EmulatorError: With what can be done about it.
    """
    if not engine.is_local:
        raise EmulatorError(
            "The Docker engine is on another machine, where neither a model of this one is seen "
            "nor a container can be asked from here. Run the emulator there, or unset DOCKER_HOST."
        )
    if isolated or beside:
        raise EmulatorError(
            f"This engine's containers are reached by published ports alone, which "
            f"{'an isolated network' if isolated else 'a pipeline'} does not have: Docker Desktop "
            "and rootless engines are so. Take an engine that runs as root on this Linux."
        )


class Commands:
    """Makes processes of a command in place of containers, each with an /opt/ml of its own.

    They listen on a free port, which SAGEMAKER_BIND_TO_PORT names.
    """

    def __init__(self, words: Sequence[str], lifecycle: Lifecycle, folder: Path) -> None:
        self._words = list(words)
        self._lifecycle = lifecycle
        self._folder = folder

    def port(self, wanted: int) -> int:
        """Return a free port: several servers and this machine's programs share them."""
        del wanted
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def cpus(self) -> int:
        """Return how many processors this machine has."""
        return os.cpu_count() or 1

    def require_label(self, label: str) -> None:
        """Accept everything: a command has no labels."""

    def beside(self, name: str) -> "Commands":
        """Return what makes processes of another command."""
        return Commands(split_words(name), self._lifecycle, self._folder)

    def make(self, definition: Definition) -> Server:
        """Make a process.

        Raises:
            EmulatorError: The definition asks for what only an engine can give.
        """
        refuse_without_docker(
            {"a memory limit": definition.memory, "limits of a container": definition.options}
        )
        base = Path(tempfile.mkdtemp(dir=self._folder))
        for name, path in definition.folders.items():
            (base / name).symlink_to(path)
        variables = {
            **definition.environment,
            **definition.platform,
            "SAGEMAKER_BIND_TO_PORT": str(definition.port),
        }
        process = Process(self._words, base, variables)
        address = Address("127.0.0.1", definition.port)
        return self._lifecycle.server(definition.name, process, lambda: address, str(base))


@contextmanager
def commands(words: str, lifecycle: Lifecycle) -> Iterator[Commands]:
    """Give a launcher of a command, as a shell's words; its folders go with the block."""
    with tempfile.TemporaryDirectory(prefix="emulator-ml-") as folder:
        yield Commands(split_words(words), lifecycle, Path(folder))
