"""Checks of the stub, with a fault or without, as commands and as images."""

import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_test.emulator.channels import Channel
from local_test.emulator.check.asking import Payload
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.model import digests
from local_test.emulator.check.subject import Subject, evidence
from local_test.emulator.check.suite import Verdict, judge, select
from local_test.emulator.console import Console
from local_test.emulator.engine import Engine
from local_test.emulator.metrics import MetricDefinition
from tests.docker import build, docker
from tests.emulator.check.faults import IMAGES, SOUND
from tests.emulator.conftest import BASE, RUN, left_of

HERE = Path(__file__).parent
PAYLOAD = Payload(json.dumps({"instances": [1, 2]}).encode(), "application/json")
WEIGHTS = json.dumps({"answer": 42, "padding": "x" * 99})
METRICS = (MetricDefinition("loss", "loss=(.*?);"),)
# Short, because the stub is; one that hangs is killed after these.
LIMITS = {
    "grace": 2.0,
    "serve_grace": 1.0,
    "unhealthy": 3.0,
    "healthy": 10.0,
    "shortest_job": 1.5,
    "load": 0.3,
}
# The stub sleeps most of the time, and so do containers.
_AT_ONCE = 6 * (os.cpu_count() or 1)
_IMAGES_AT_ONCE = 2 * (os.cpu_count() or 1)


def of_state(state: str, verdicts: Sequence[Verdict]) -> list[str]:
    """Return the lines of the rules with this state."""
    return [verdict.line for verdict in verdicts if verdict.outcome.state == state]


def ids(lines: Sequence[str]) -> list[str]:
    """Return the ids of the rules in lines."""
    return [line.split()[1] for line in lines]


def command(fault: str, word: str) -> str:
    """Return the stub's command line with a fault."""
    # -E: a PYTHONUNBUFFERED of ours would hide that it holds its log back; -S: it starts faster.
    stub = [sys.executable, "-E", "-S", str(HERE / f"stub/{word}.py")]
    return shlex.join(["env", f"FAULT={fault}", *stub])


@dataclass(frozen=True)
class Case:
    """A check of the stub: its fault, the rules that are tested, and what is other than usual.

    An epoch takes 0.1 s.
    """

    fault: str
    patterns: Sequence[str]
    epochs: int = 5
    payload: Payload | None = PAYLOAD
    limits: Mapping[str, float] = field(default_factory=dict)


def _data(folder: Path) -> Path:
    data = folder / "data"
    data.mkdir(parents=True)
    (data / "a").write_text("a scan")
    return data


def _model(folder: Path) -> Path:
    model = folder / "own-model"
    model.mkdir()
    (model / "weights.json").write_text(WEIGHTS)
    return model


def check_stub(case: Case, folder: Path) -> list[Verdict]:
    """Check the stub's commands with a fault.

    The caller's model stays as it was, and without a fault one job has all oddities.
    """
    data, model = _data(folder), _model(folder)
    subject = Subject(
        image=None,
        train=command(case.fault, "train"),
        serve=command(case.fault, "serve"),
        channels=[Channel("train", data)],
        hyperparameters={"epochs": str(case.epochs)},
        long={"epochs": "100000"},
        metrics=METRICS,
        model=model,
        payload=case.payload,
    )
    console = Console(io.StringIO())
    limits = Limits(**{**LIMITS, **case.limits})
    before = digests(model)
    with evidence(subject, None, limits, folder, console) as found:
        verdicts = list(judge(select(case.patterns), found))
    assert digests(model) == before
    assert case.fault or not list(folder.glob("odd-*"))
    return verdicts


CheckAll = Callable[[Mapping[str, Case]], dict[str, list[Verdict]]]


@pytest.fixture(scope="session")
def check_all(tmp_path_factory: pytest.TempPathFactory) -> CheckAll:
    """Give a function that makes some checks of the stub, by names, several at once."""

    def run(cases: Mapping[str, Case]) -> dict[str, list[Verdict]]:
        # `mktemp` is not made for several threads.
        folder = tmp_path_factory.mktemp("checks")
        folders = [folder / str(number) for number in range(len(cases))]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            verdicts = pool.map(check_stub, cases.values(), folders)
            return dict(zip(cases, verdicts, strict=True))

    return run


_STUB = r"""FROM {base}
LABEL run={run}
ENV PYTHONUNBUFFERED= RES_OPTIONS="timeout:1 attempts:1"
COPY stub /opt/program/
RUN for word in train serve; do \
    printf '#!/bin/sh\nexec python -S /opt/program/%s.py\n' $word > /usr/local/bin/$word \
    && chmod 755 /usr/local/bin/$word; done
"""
_CLASSIC = r"""FROM {base}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/program:$PATH
RUN apt-get update \
    && apt-get install -y --no-install-recommends nginx-light \
    && rm -rf /var/lib/apt/lists/*
COPY classic /opt/program
RUN chmod 755 /opt/program/train /opt/program/serve
LABEL com.amazonaws.sagemaker.capabilities.multi-models=false \
    com.amazonaws.sagemaker.capabilities.accept-bind-to-port=false
"""
CLASSIC = "the classic sample"
_CLASSIC_RULES = ("TRAIN-*", "SERVE*")
_CLASSIC_PAYLOAD = Payload(b"1,2,3\n", "text/csv")
UNREACHED = "an engine that publishes ports"


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


class Unreached(Engine):
    """An engine whose containers have no address that is reached, as Docker Desktop's."""

    def reaches(self, network: str) -> bool:
        del network
        return False


_ENGINES = {
    "downloads at the start": Connected,
    "needs a network to serve": Connected,
    UNREACHED: Unreached,
}


@pytest.fixture(scope="session")
def images(
    serve_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """Build the images of the stub, by fault ("" has none), and of AWS's classic sample."""
    folder = tmp_path_factory.mktemp("images")

    def made(number: int, dockerfile: str, base: str) -> str:
        path = folder / f"Dockerfile-{number}"
        path.write_text(dockerfile.format(base=base, run=RUN))
        return build(f"emulator-test:check-{number}-{RUN}", "-f", path, HERE)

    tags = {"": made(0, _STUB, serve_image), CLASSIC: made(1, _CLASSIC, serve_image)}
    for number, fault in enumerate(IMAGES, 2):
        tags[fault] = made(number, f'FROM {{base}}\nENV FAULT="{fault}"\n', tags[""])
    yield tags
    docker("rmi", "-f", *tags.values())


def _check_image(image: str, fault: str, folder: Path) -> list[Verdict]:
    """Check an image on the engine; all that was made is gone when this returns."""
    fields: dict[str, Any] = {"payload": PAYLOAD, "hosts": 2}
    patterns: Sequence[str] = IMAGES[fault][1] if fault in IMAGES else SOUND
    if fault == UNREACHED:
        patterns = ("SERVE-0[12]",)
    if fault == CLASSIC:
        patterns, fields = _CLASSIC_RULES, {"payload": _CLASSIC_PAYLOAD}
    data = _data(folder)
    if fault != CLASSIC:
        fields["model"] = _model(folder)
    subject = Subject(
        image=image,
        train=None,
        serve=None,
        channels=[Channel("train", data)],
        long={"epochs": "100000"},
        **fields,
    )
    console = Console(io.StringIO())
    with _ENGINES.get(fault, Engine)() as engine:
        with evidence(subject, engine, Limits(**LIMITS), folder, console) as found:
            verdicts = list(judge(select(patterns), found))
        engine.remove_all()
        assert left_of(engine) == []
    return verdicts


@pytest.fixture(scope="session")
def checked_images(
    images: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Verdict]]:
    """Check all those images, several at once."""

    images = {**images, UNREACHED: images[""]}
    # The longest first.
    names = sorted(images, key=lambda fault: fault not in {CLASSIC, ""})
    folder = tmp_path_factory.mktemp("checked-images")
    folders = [folder / str(number) for number in range(len(names))]
    with ThreadPoolExecutor(_IMAGES_AT_ONCE) as pool:
        verdicts = pool.map(_check_image, [images[name] for name in names], names, folders)
        return dict(zip(names, verdicts, strict=True))
