"""AWS on loopback: the account of moto, and a Docker registry where ECR keeps images."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

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
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", folder / "registry.yml"], stdout=log, stderr=log
        )
    try:
        _wait_for_connections(process, port, folder / "registry.log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for_connections(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def password_file(path: Path, user: str, password: str) -> list[str]:
    """Write the one login that a registry takes; give the lines of its section `auth`."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    path.write_text(f"{user}:{hashed}\n")
    return [f"htpasswd: {{realm: test, path: {path}}}"]
