"""Checks of the stub, with a fault or without."""

import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local_test.emulator.channels import Channel
from local_test.emulator.check.asking import Payload
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.subject import Subject, evidence
from local_test.emulator.check.suite import Verdict, judge, select
from local_test.emulator.console import Console
from local_test.emulator.engine import Engine
from local_test.emulator.metrics import MetricDefinition
from tests.docker import IMAGE, build
from tests.emulator.conftest import left_of
from tests.jobs import ROOT

STUB = Path(__file__).with_name("stub.py")
PAYLOAD = Payload(json.dumps({"instances": [1, 2]}).encode(), "application/json")
WEIGHTS = json.dumps({"answer": 42, "padding": "x" * 99})
METRICS = (MetricDefinition("loss", "loss=(.*?);"),)
# Short, because the stub is; one that hangs is killed after these.
LIMITS = {"grace": 2.0, "serve_grace": 1.0, "unhealthy": 3.0, "healthy": 10.0}
# It sleeps most of the time.
_AT_ONCE = 4 * (os.cpu_count() or 1)


def command(fault: str, word: str) -> str:
    """Return the stub's command line with a fault."""
    environment = ["env", "-u", "PYTHONUNBUFFERED", f"FAULT={fault}"]
    return shlex.join([*environment, sys.executable, str(STUB), word])


def check_stub(fault: str, patterns: Iterable[str], folder: Path) -> list[Verdict]:
    """Check the stub's commands with a fault."""
    folder.mkdir()
    data, model = folder / "data", folder / "own-model"
    data.mkdir()
    (data / "a").write_text("a scan")
    model.mkdir()
    (model / "weights.json").write_text(WEIGHTS)
    subject = Subject(
        image=None,
        train=command(fault, "train"),
        serve=command(fault, "serve"),
        channels=lambda _: [Channel("train", data)],
        hyperparameters={"epochs": "5"},
        long={"epochs": "100000"},
        metrics=METRICS,
        model=model,
        payload=PAYLOAD,
    )
    console = Console(io.StringIO())
    with evidence(subject, None, Limits(**LIMITS), folder, console) as found:
        return list(judge(select(list(patterns)), found))


CheckAll = Callable[[Mapping[str, Sequence[str]]], dict[str, list[Verdict]]]


@pytest.fixture(scope="session")
def check_all(tmp_path_factory: pytest.TempPathFactory) -> CheckAll:
    """Give a function that checks the stub with each of some faults, several at once.

    It takes the rules to be tested by fault.
    """

    def run(faults: Mapping[str, Sequence[str]]) -> dict[str, list[Verdict]]:
        def one(fault: str) -> list[Verdict]:
            return check_stub(fault, faults[fault], tmp_path_factory.mktemp("check") / "folder")

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(faults, pool.map(one, faults), strict=True))

    return run


def check_image(
    image: str,
    patterns: Iterable[str],
    folder: Path,
    payload: Payload,
    engine_type: type[Engine] = Engine,
    **fields: Any,
) -> list[Verdict]:
    """Check an image on the engine; all that was made is gone when this returns."""
    folder.mkdir()
    data = folder / "data"
    data.mkdir()
    (data / "a").write_text("a scan")
    subject = Subject(
        image=image,
        train=None,
        serve=None,
        channels=lambda _: [Channel("train", data)],
        hyperparameters={},
        long={"epochs": "100000"},
        payload=payload,
        **fields,
    )
    console = Console(io.StringIO())
    with engine_type() as engine:
        with evidence(subject, engine, Limits(**LIMITS), folder, console) as found:
            verdicts = list(judge(select(list(patterns)), found))
        engine.remove_all()
        assert left_of(engine) == []
        return verdicts


@pytest.fixture(scope="session")
def python_image() -> str:
    """Build an image with Python, Flask and gunicorn to make others from: our own that serves."""
    return build(f"{IMAGE}-serve", "--target", "serve", ROOT)
