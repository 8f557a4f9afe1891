"""A tiny image, and jobs with it."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker as sdk
import pytest

from local_test.emulator import hosts
from local_test.emulator.console import Console
from local_test.emulator.engine import LABEL, Engine
from local_test.emulator.job import Run
from local_test.emulator.record import Record
from local_test.emulator.specification import TrainingJob
from tests.docker import IMAGE, build, docker
from tests.jobs import ROOT

BASE = "debian:trixie-slim"
# Of this run of the tests alone: what has the image for its ancestor is nobody else's.
RUN = str(os.getpid())
TAG = f"emulator-test:train-{RUN}"
# `train` becomes the shell script that the job has in its environment, so that one image is all.
_DOCKERFILE = f"""FROM {BASE}
RUN printf '#!/bin/sh\\nexec sh -c "$SCRIPT"\\n' > /usr/local/bin/train \
    && chmod 755 /usr/local/bin/train
"""


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """Give an image whose `train` runs the shell script in the variable SCRIPT, as process 1."""
    if docker("image", "inspect", BASE).returncode:
        pytest.skip(f"there is no image {BASE} on this engine to build the small images from")
    client = sdk.from_env()
    client.images.build(
        fileobj=io.BytesIO(_DOCKERFILE.encode()),
        tag=TAG,
        labels={"run": RUN},
        rm=True,
        forcerm=True,
        network_mode="none",
    )
    try:
        yield TAG
    finally:
        client.images.remove(TAG, force=True)
        client.close()


@pytest.fixture(scope="session")
def serve_image() -> str:
    """Build our own image that serves; it also has the Python that stubs need."""
    return build(f"{IMAGE}-serve", "--target", "serve", ROOT)


Train = Callable[..., Record]


@pytest.fixture
def train(image: str, tmp_path: Path) -> Train:
    """Give a function that runs a job to its end with a script; its results are in `tmp_path`."""

    def run(script: str, **fields: Any) -> Record:
        environment = {"SCRIPT": script, **fields.pop("environment", {})}
        job = TrainingJob(name="job", image=image, environment=environment, **fields)
        console = Console(io.StringIO())
        with Engine() as engine, hosts.containers(engine, job) as make_host:
            record = Run(job, make_host, tmp_path, console).lead()
        assert left_of(engine) == []
        return record

    return run


def left_of(engine: Engine) -> list[str]:
    """Return what there still is on the engine of all that was made through this `Engine`."""
    return labelled(engine.label)


def run_label(image: str) -> str:
    """Return the label of the run of the emulator that has containers of this image now."""
    with contextlib.closing(sdk.from_env()) as client:
        running = client.containers.list(filters={"ancestor": image})
        (label,) = {f"{LABEL}={container.labels[LABEL]}" for container in running}
        return label


def labelled(label: str) -> list[str]:
    """Return the containers, networks and volumes that there are with a label."""
    with contextlib.closing(sdk.from_env()) as client:
        mine = {"label": label}
        return [
            *(container.name for container in client.containers.list(all=True, filters=mine)),
            *(network.name for network in client.networks.list(filters=mine)),
            *(volume.name for volume in client.volumes.list(filters=mine)),
        ]
