"""A Docker engine for tests, if one answers."""

import functools
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.jobs import ROOT

IMAGE = "brain-tumor:test"


def docker(*arguments: object, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a docker command and return how it ended."""
    command = ["docker", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@functools.cache
def engine_answers() -> bool:
    """Tell whether a Docker engine can be used."""
    try:
        return docker("info", timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


needs_docker = pytest.mark.skipif(
    not engine_answers(), reason="no Docker engine answers: the image was not built or run"
)
needs_docker_command = pytest.mark.skipif(
    shutil.which("docker") is None, reason="there is no command docker"
)


def build(tag: str, *options: object) -> str:
    """Build an image from the Dockerfile, or from what the options name; give its tag."""
    built = docker("build", "-t", tag, *(options or [ROOT]), timeout=1500)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return tag


@contextmanager
def container(*arguments: object) -> Iterator[str]:
    """Run a container in the background; give its id, remove it with the block."""
    started = docker("run", "-d", *arguments)
    assert started.returncode == 0, started.stderr
    identifier = started.stdout.strip()
    try:
        yield identifier
    finally:
        docker("rm", "-f", identifier)


def inspect(name: str) -> dict[str, Any]:
    """Return what the engine knows of an image or container."""
    described: dict[str, Any] = json.loads(docker("inspect", name).stdout)[0]
    return described


def logs(identifier: str) -> str:
    """Return what a container printed so far."""
    printed = docker("logs", identifier)
    return printed.stdout + printed.stderr


def wait(identifier: str, seconds: float = 240) -> int:
    """Wait for the end of a container and give its exit code."""
    return int(docker("wait", identifier, timeout=seconds).stdout)


def python_in(identifier: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code inside a running container."""
    return docker("exec", identifier, "python", "-c", code)


def wait_until_ready(identifier: str) -> None:
    """Ping from inside the container, which may have no network, until 200."""
    ping = (
        "import urllib.request as r; "
        "print(r.urlopen('http://127.0.0.1:8080/ping', timeout=2).status)"
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and inspect(identifier)["State"]["Running"]:
        if python_in(identifier, ping).stdout.strip() == "200":
            return
        time.sleep(0.3)
    raise AssertionError(f"never ready; log:\n{logs(identifier)}")
