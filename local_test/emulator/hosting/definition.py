"""A container of a model, within the limits of CreateModel."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.archive import unpack
from local_test.emulator.hosting.exchange import PRIMARY
from local_test.emulator.specification import check_map

PORT = 8080
_ENVIRONMENT_LIMITS = (1024, 1024)
_ENVIRONMENT_BYTES = 32 * 1024


@dataclass(frozen=True)
class Definition:
    """What is started to serve.

    Attributes:
        name: The container's host name, for messages.
        environment: The user's variables.
        platform: The platform's own variables, which win.
        folders: What of this machine is seen below /opt/ml, read-only, by its name there.
        port: Where it has to listen.
        memory: The limit, such as 4g.
        gpus: Whether it gets all GPUs.
        options: More of docker-py's arguments of `containers.create`.
    """

    name: str = PRIMARY
    environment: Mapping[str, str] = field(default_factory=dict)
    platform: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    port: int = PORT
    memory: str | None = None
    gpus: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_map("environment variable", self.environment, _ENVIRONMENT_LIMITS)
        size = sum(len(f"{key}{value}".encode()) for key, value in self.environment.items())
        if size > _ENVIRONMENT_BYTES:
            raise EmulatorError(
                f"The environment has {size} bytes: SageMaker takes {_ENVIRONMENT_BYTES} in all."
            )


@contextmanager
def model_folder(model: Path | None) -> Iterator[dict[str, Path]]:
    """Give the folder of a model for `Definition.folders`: a .tar.gz is unpacked for the block.

    Raises:
        EmulatorError: It cannot be unpacked.
    """
    if model is None or model.is_dir():
        yield {"model": model.absolute()} if model else {}
        return
    with readable_folder() as folder:
        unpack(model, folder)
        yield {"model": folder}


@contextmanager
def readable_folder() -> Iterator[Path]:
    """Give a folder for the block that every user can read: a container may run as any."""
    with tempfile.TemporaryDirectory(prefix="emulator-model-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
