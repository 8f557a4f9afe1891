"""What the tests of build_and_push.sh push."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import loopback
from tests.docker import docker, engine_answers
from tests.jobs import BIN
from tests.push.project import DOCKERFILE, Project
from tests.push.stand_ins import Push


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Give a project whose image takes a second; its images go with it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    # Logins of its own, so that none of the user's is touched.
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text("{}")
    # Podman's images too.
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path / "run"}"\n'
        f'graphroot = "{tmp_path / "graph"}"\n'
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **inherited,
        **loopback.environment("http://127.0.0.1:1", tmp_path),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "CONTAINERS_STORAGE_CONF": str(storage),
    }
    yield Project(folder, environment)
    if engine_answers():
        listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
        docker("rmi", *(name for name in listed if "push-test" in name))


@pytest.fixture
def push(tmp_path: Path) -> Push:
    """Give build_and_push.sh with stand-ins."""
    return Push(tmp_path)
