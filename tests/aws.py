"""AWS on loopback: moto's server, and a Docker registry as ECR's storage."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.jobs import BIN
from tests.server import free_port

REGION = "eu-central-1"
ACCOUNT = "123456789012"
"""moto's account."""
REGISTRY_PASSWORD = f"{ACCOUNT}-auth-token"
"""The password that moto's ECR gives for the user AWS."""

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None,
    reason="no docker-registry (apt-get install docker-registry): nothing was pushed to one",
)


@contextmanager
def _listening(command: Sequence[object], port: int, log: Path) -> Iterator[None]:
    """Run a server until the block ends; enter it once the port takes connections."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [*map(str, command)], stdout=output, stderr=subprocess.STDOUT, cwd=log.parent
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Run moto's server with an account that holds nothing; give its URL."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    with _listening(command, port, folder / "moto.log"):
        yield f"http://127.0.0.1:{port}"


def aws_environment(url: str) -> dict[str, str]:
    """Give the environment in which aws and boto3 talk to `url` alone, as nobody."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **inherited,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def registry(
    folder: Path, port: int | None = None, options: Mapping[str, Sequence[str]] | None = None
) -> Iterator[str]:
    """Run a Docker registry on loopback that holds nothing; give its name, 127.0.0.1:PORT.

    Args:
        folder: where it keeps its files.
        port: one that is free by default.
        options: further lines of its configuration, below their heading.
    """
    port = port or free_port()
    sections = {
        "storage": [f"filesystem: {{rootdirectory: {folder / 'storage'}}}"],
        "http": [f"addr: 127.0.0.1:{port}"],
    }
    for name, lines in (options or {}).items():
        sections[name] = [*sections.get(name, []), *lines]
    text = "".join(
        f"{name}:\n" + "".join(f"  {line}\n" for line in lines) for name, lines in sections.items()
    )
    (folder / "registry.yml").write_text(f"version: 0.1\n{text}")
    command = ["docker-registry", "serve", folder / "registry.yml"]
    with _listening(command, port, folder / "registry.log"):
        yield f"127.0.0.1:{port}"


def password_file(path: Path, user: str, password: str) -> list[str]:
    """Write the one login that a registry takes; give the lines of its section `auth`."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    path.write_text(f"{user}:{hashed}\n")
    return [f"htpasswd: {{realm: test, path: {path}}}"]
