"""The offline SageMaker's `check` of this project's own image: each rule, on a small job."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from local_test.emulator.engine import LABEL
from tests.docker import docker, needs_docker
from tests.jobs import ROOT

# Training begins eight times in it.
pytestmark = [needs_docker, pytest.mark.timeout(900)]

SETTINGS = {"epochs": "2", "backbone": "small", "image-size": "32", "batch-size": "8"}
_LINE = re.compile(r"^(?P<state>PASS|FAIL|N/A|ERROR) +(?P<rule>[A-Z]+-\d+) ", re.MULTILINE)


def _there() -> list[str]:
    """List what carries the emulator's label."""
    listed = (("container", "--all"), ("network",), ("volume",))
    mine = ("--quiet", "--filter", f"label={LABEL}")
    return [docker(kind, "ls", *options, *mine).stdout for kind, *options in listed]


def test_our_image_passes_every_rule_that_applies_and_a_check_leaves_nothing(
    image: str, prepared: Path, tmp_path: Path
) -> None:
    definitions = tmp_path / "metrics.json"
    printed = docker("run", "--rm", image, "brain-tumor", "metric-definitions").stdout
    definitions.write_text(printed)
    before = _there()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "local_test.emulator", "check", image, "--hosts", "2"),
            *(f"--data={side}={prepared / side.title()}.zip" for side in ("train", "val", "test")),
            *(f"-s{name}={value}" for name, value in SETTINGS.items()),
            *("--long", "epochs=2000", "--metric-definitions", str(definitions)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    states = {match["rule"]: match["state"] for match in _LINE.finditer(done.stdout)}
    others = {rule: state for rule, state in states.items() if state != "PASS"}
    # A model is mounted read-only, so that nothing can write to it.
    assert others == {"SERVE-20": "N/A"}, done.stdout + done.stderr
    assert len(states) > 60
    assert done.returncode == 0, done.stderr
    assert _there() == before
