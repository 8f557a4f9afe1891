"""What is made on the Docker engine: containers and networks that are gone when a run ends.

Everything carries a label, so that it is found and removed however the run ended.
"""

import contextlib
import functools
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import docker
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest, Mount

from local_test.emulator.container import Container
from local_test.emulator.errors import EmulatorError
from local_test.emulator.files import Files
from local_test.emulator.interrupts import Interrupts

LABEL = "local-test.emulator"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Bind:
    """A file or folder of this machine at a path in a container."""

    source: str
    target: str
    read_only: bool = True


class Engine:
    """A Docker engine; what it is asked to make is removed when the block ends."""

    def __init__(self, interrupts: Interrupts | None = None) -> None:
        self._interrupts = interrupts or Interrupts()
        self.label = f"{LABEL}={uuid.uuid4().hex}"
        try:
            # It asks for the engine's version.
            self.client = docker.from_env()
        except DockerException as error:
            raise EmulatorError(
                f"No Docker engine answers ({error}). Start one, or name another by DOCKER_HOST; "
                "without an engine, an installed package can be run with --command."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        with self._interrupts.held():
            try:
                self.remove_all()
            finally:
                self.client.close()

    def remove_all(self) -> None:
        """Remove the containers, networks and volumes of this run.

        Raises:
            EmulatorError: Something could not be removed; all else is.
        """
        mine = {"label": self.label}
        containers = self.client.containers.list(all=True, filters=mine, ignore_removed=True)
        removals = [functools.partial(one.remove, force=True, v=True) for one in containers]
        removals += [network.remove for network in self.client.networks.list(filters=mine)]
        # Most go with their container; not where somebody else removed that.
        removals += [volume.remove for volume in self.client.volumes.list(filters=mine)]
        failures: list[str] = []
        for remove in removals:
            try:
                remove()
            except NotFound:
                continue
            except (DockerException, OSError) as error:
                failures.append(str(error))
        if failures:
            raise EmulatorError(
                f"Not all could be removed: {'; '.join(failures)}. What is left has the label "
                f"{self.label}."
            )

    def check_image(self, image: str) -> list[str]:
        """Return what is odd about an image, in sentences.

        Raises:
            EmulatorError: There is no such image here, or this engine cannot run it.
        """
        built_for = str(self._find(image).attrs["Architecture"])
        runs = str(self.client.info()["Architecture"])
        runs = _ARCHITECTURES.get(runs, runs)
        if built_for != runs:
            raise EmulatorError(
                f"The image {image} is built for {built_for}, this engine runs {runs}: its "
                f"programs end with 'exec format error'. Build it with --platform linux/{runs}."
            )
        if built_for != "amd64":
            return [
                f"{image} is built for {built_for}; SageMaker's training instances run amd64. "
                "Before a push, build it with --platform linux/amd64."
            ]
        return []

    def image_labels(self, image: str) -> Mapping[str, str]:
        """Return the labels of an image.

        Raises:
            EmulatorError: There is no such image here.
        """
        return dict(self._find(image).labels)

    def _find(self, image: str) -> Any:
        try:
            return self.client.images.get(image)
        except ImageNotFound as error:
            raise EmulatorError(
                f"There is no image {image} on this engine. Build it (docker build -t {image} .) "
                "or pull it (docker pull); `docker images` lists what is there."
            ) from error

    def reaches(self, network: str) -> bool:
        """Tell whether containers on a network are reached at their own addresses.

        They are where the network's gateway is this machine. It is not with the virtual machines
        of Docker Desktop and others, a rootless engine, or the engine of another machine.
        """
        for config in self.client.networks.get(network).attrs["IPAM"]["Config"] or []:
            gateway = config.get("Gateway", "")
            family = socket.AF_INET6 if ":" in gateway else socket.AF_INET
            with socket.socket(family) as probe, contextlib.suppress(OSError):
                # Only an address of this machine can be bound; an empty one is any.
                if gateway:
                    probe.bind((gateway, 0))
                    return True
        return False

    @property
    def is_local(self) -> bool:
        """Whether the engine sees this machine's folders, and its published ports are here."""
        host = urlsplit(self.client.api.base_url).hostname
        return host in {"localhost", "localnpipe", "127.0.0.1", "::1"}

    def network(self, *, internal: bool) -> str:
        """Make a network; from an internal one nothing outside can be reached. Return its name."""
        name = f"emulator-{uuid.uuid4().hex[:12]}"
        with self._interrupts.held():
            self.client.networks.create(name, internal=internal, labels=self._labels)
        return name

    def container(
        self,
        image: str,
        command: Sequence[str],
        *,
        files: Files | None = None,
        volumes: Sequence[str] = (),
        binds: Sequence[Bind] = (),
        alias: tuple[str, str] | None = None,
        memory: str | None = None,
        gpus: bool = False,
        **options: Any,
    ) -> Container:
        """Make a container, not yet started.

        Args:
            image: Its image, which has to be here.
            command: What replaces the image's CMD.
            files: Files below /opt/ml, copied in; they lie in volumes or in the container's own
                layer, so no file of root's is left on this machine.
            volumes: Paths at which empty volumes are mounted, which hide what the image has there.
            binds: What of this machine is seen inside.
            alias: A network, and the name under which its other containers find this one.
            memory: The limit, such as 4g; there is no swap.
            gpus: Give it all GPUs.
            options: More of docker-py's arguments of `containers.create`.
        """
        if alias:
            network, name = alias
            endpoint = self.client.api.create_endpoint_config(aliases=[name])
            options |= {"network": network, "networking_config": {network: endpoint}}
        if memory:
            options |= {"mem_limit": memory, "memswap_limit": memory}
        if gpus:
            options["device_requests"] = [DeviceRequest(count=-1, capabilities=[["gpu"]])]
        mounts = [Mount(path, None, no_copy=True, labels=self._labels) for path in volumes]
        mounts += [Mount(b.target, b.source, "bind", read_only=b.read_only) for b in binds]
        with self._interrupts.held():
            made = self.client.containers.create(
                image, list(command), mounts=mounts, labels=self._labels, **options
            )
        container = Container(made)
        if files:
            container.put(files)
        return container

    @property
    def _labels(self) -> Mapping[str, str]:
        return dict([self.label.split("=")])
