"""A stub server behind an endpoint, and boto3 in front of it."""

import contextlib
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_test.emulator.hosting import front
from local_test.emulator.hosting.asynchronous import AsyncInvocations
from local_test.emulator.hosting.definition import Definition
from local_test.emulator.hosting.endpoint import Endpoint, Limits
from local_test.emulator.hosting.health import HealthLimits
from local_test.emulator.hosting.launch import Lifecycle, commands
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import Single
from tests.jobs import ROOT

STUB = f"{sys.executable} {ROOT / 'tests/emulator/hosting/stub.py'}"
QUICK = HealthLimits(ping=0.5, healthy=20, interval=0.05)


@contextmanager
def stub_server(
    command: str = STUB, health: HealthLimits = QUICK, grace: float = 10.0, **fields: Any
) -> Iterator[Server]:
    """Give a command's server, healthy; `fields` are those of its definition."""
    with commands(command, Lifecycle(health, grace)) as launcher:
        definition = Definition(port=launcher.port(8080), **fields)
        with launcher.make(definition) as server:
            yield server


def runtime(url: str, **config: Any) -> Any:
    """Return boto3's client of SageMaker's runtime for the emulator's front, which tries once."""
    return aws_client("sagemaker-runtime", url, **config)


def aws_client(service: str, url: str, **config: Any) -> Any:
    """Return boto3's client of a service for the emulator's front, which tries once."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@contextmanager
def fronted(endpoint: Endpoint, asynchronous: AsyncInvocations | None = None) -> Iterator[Any]:
    """Give boto3's client for an endpoint."""
    with (
        front.running(endpoint, asynchronous=asynchronous) as url,
        contextlib.closing(runtime(url)) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def stub() -> Iterator[Server]:
    """Give a stub server."""
    with stub_server(environment={"COLOUR": "green"}) as server:
        yield server


@pytest.fixture(scope="module")
def client(stub: Server) -> Iterator[Any]:
    """Give boto3's client for the stub's endpoint `stub`, which allows 1.5 s."""
    endpoint = Endpoint("stub", Single(stub), Limits(invocation=1.5, stream=1.5, payload=100_000))
    with fronted(endpoint) as client:
        yield client


def model_archive(folder: Path, files: dict[str, bytes], name: str = "model.tar.gz") -> Path:
    """Make a model.tar.gz of files."""
    content = folder / f"{name}-content"
    for path, data in files.items():
        (content / path).parent.mkdir(parents=True, exist_ok=True)
        (content / path).write_bytes(data)
    archive = folder / name
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for member in sorted(content.iterdir()):
            tar.add(member, member.name)
    return archive


@pytest.fixture(scope="session")
def archive(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the model.tar.gz of the trained phantoms."""
    path = tmp_path_factory.mktemp("archive") / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for member in sorted((trained / "model").iterdir()):
            tar.add(member, member.name)
    return path
