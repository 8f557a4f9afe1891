"""Rules that need a container: each finds its fault in an image of the stub."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import docker as sdk
import pytest

from local_test.emulator.check.suite import Verdict
from local_test.emulator.engine import Engine
from tests.docker import build, docker, needs_docker
from tests.emulator.check.conftest import PAYLOAD, STUB, WEIGHTS, check_image
from tests.emulator.conftest import BASE
from tests.jobs import ROOT

_DOCKERFILE = r"""FROM {base}
ENV PYTHONUNBUFFERED= RES_OPTIONS="timeout:1 attempts:1" FAULT="{fault}"
COPY stub.py /opt/program/
RUN for word in train serve; do \
    printf '#!/bin/sh\nexec python /opt/program/stub.py %s\n' $word > /usr/local/bin/$word \
    && chmod 755 /usr/local/bin/$word; done
"""
_TAG = "emulator-test:stub"
_JOBS = ("TRAIN-0[1-4]", "TRAIN-1[34]")
_SERVERS = ("SERVE-0[1-5]", "SERVE-23", "SERVERLESS-01")
# The fault, the one rule that it breaks, and those that are tested.
FAULTS = {
    "downloads at the start": ("TRAIN-04", _JOBS),
    "writes in FastFile mode": ("TRAIN-12", ("TRAIN-01", "TRAIN-09", "TRAIN-12")),
    "writes to its home": ("TRAIN-14", _JOBS),
    "saves on all hosts": ("TRAIN-25", ("TRAIN-01", "TRAIN-25")),
    "needs a network to serve": ("SERVE-02", ("SERVE-0[1-5]",)),
    "always takes 8080": ("SERVE-23", _SERVERS),
    "writes while it serves": ("SERVERLESS-01", _SERVERS),
}

_NEED_A_NETWORK = {"downloads at the start", "needs a network to serve"}

Make = Callable[[str], str]
Check = Callable[[str, tuple[str, ...]], list[Verdict]]


class Connected(Engine):
    """An engine whose networks, unless they are internal, reach a host with the name `outside`.

    It stands for the internet, which tests have not.
    """

    def network(self, *, internal: bool) -> str:
        name = super().network(internal=internal)
        if not internal:
            outside = self.container(BASE, ["sleep", "600"])
            outside.start()
            self.client.networks.get(name).connect(outside.id, aliases=["outside"])
        return name


@pytest.fixture(scope="module")
def make(python_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    tags: list[str] = []

    def build_stub(fault: str) -> str:
        folder = tmp_path_factory.mktemp("image")
        (folder / "Dockerfile").write_text(_DOCKERFILE.format(base=python_image, fault=fault))
        tags.append(build(f"{_TAG}-{len(tags)}", "-f", folder / "Dockerfile", STUB.parent))
        return tags[-1]

    yield build_stub
    for tag in tags:
        docker("rmi", "-f", tag)


@pytest.fixture
def check(make: Make, tmp_path: Path) -> Check:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights.json").write_text(WEIGHTS)

    def run(fault: str, patterns: tuple[str, ...]) -> list[Verdict]:
        model = tmp_path / "model"
        kind = Connected if fault in _NEED_A_NETWORK else Engine
        image, folder = make(fault), tmp_path / "check"
        return check_image(image, patterns, folder, PAYLOAD, kind, model=model, hosts=2)

    return run


@needs_docker
@pytest.mark.parametrize("fault", FAULTS)
def test_exactly_the_rule_that_a_fault_breaks_fails(check: Check, fault: str) -> None:
    broken, patterns = FAULTS[fault]
    verdicts = check(fault, patterns)
    failed = [verdict.line for verdict in verdicts if verdict.outcome.state == "FAIL"]
    assert [line.split()[1] for line in failed] == [broken], failed


@needs_docker
def test_an_image_without_a_fault_passes_these_rules(check: Check) -> None:
    verdicts = check("", (*_JOBS, "TRAIN-12", "TRAIN-25", *_SERVERS))
    assert [v.line for v in verdicts if v.outcome.state != "PASS"] == []


@needs_docker
def test_ctrl_c_ends_a_check_and_leaves_nothing(make: Make, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/a").write_text("a")
    image = make("")
    words = [sys.executable, "-m", "local_test.emulator", "check", image, "--log"]
    options = ["--only", "TRAIN-01", "-s", "epochs=100000", "--data", str(tmp_path / "data")]
    with contextlib.closing(sdk.from_env()) as client:
        with subprocess.Popen(
            [*words, *options],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stderr
            next(line for line in running.stderr if line.startswith("loss="))
            assert client.containers.list(filters={"ancestor": image})
            running.send_signal(signal.SIGINT)
            assert running.wait(timeout=60) == 128 + signal.SIGINT
        assert client.containers.list(all=True, filters={"ancestor": image}) == []
    assert list((tmp_path / "temporary").iterdir()) == []
