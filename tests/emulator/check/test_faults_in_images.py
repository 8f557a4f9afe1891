"""Rules that need a container: each finds its fault in an image of the stub."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from local_test.emulator.check.suite import Verdict
from tests.docker import needs_docker
from tests.emulator.check.conftest import UNREACHED, ids, of_state
from tests.emulator.check.faults import IMAGES
from tests.emulator.conftest import labelled, run_label
from tests.jobs import ROOT


@needs_docker
@pytest.mark.parametrize("fault", IMAGES)
def test_exactly_the_rule_that_a_fault_breaks_fails(
    checked_images: Mapping[str, list[Verdict]], fault: str
) -> None:
    failed = of_state("FAIL", checked_images[fault])
    assert ids(failed) == [IMAGES[fault][0]], failed


@needs_docker
def test_an_image_without_a_fault_passes_these_rules(
    checked_images: Mapping[str, list[Verdict]],
) -> None:
    verdicts = checked_images[""]
    assert [v.line for v in verdicts if v.outcome.state != "PASS"] == []


@needs_docker
def test_rules_of_servers_are_judged_with_a_network_where_one_needs_it(
    checked_images: Mapping[str, list[Verdict]],
) -> None:
    passed = ids(of_state("PASS", checked_images["needs a network to serve"]))
    assert {"SERVE-07", "SERVE-23", "SERVERLESS-01", "BATCH-02"} <= set(passed)


@needs_docker
def test_where_containers_have_no_address_that_is_reached_they_are_not_isolated(
    checked_images: Mapping[str, list[Verdict]],
) -> None:
    states = {v.rule.id: v.outcome.state for v in checked_images[UNREACHED]}
    assert states == {"SERVE-01": "PASS", "SERVE-02": "N/A"}


@needs_docker
def test_ctrl_c_ends_a_check_leaves_nothing_and_reports_what_was_seen(
    images: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/a").write_text("a")
    image = images[""]
    words = [sys.executable, "-m", "local_test.emulator", "check", image, "--log"]
    options = ["--only", "IMAGE-13", "--only", "TRAIN-01", "-s", "epochs=100000"]
    files = ["--data", str(tmp_path / "data"), "--junit", str(tmp_path / "junit.xml")]
    with subprocess.Popen(
        [*words, *options, *files],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        assert running.stderr
        next(line for line in running.stderr if line.startswith("loss="))
        label = run_label(image)
        # A container, a network, volumes for input, model and output.
        assert len(labelled(label)) >= 5
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 128 + signal.SIGINT
        assert "It was ended before 1 more rules were tested." in running.stdout.read()
    assert labelled(label) == []
    assert list((tmp_path / "temporary").iterdir()) == []
    cases = ElementTree.parse(tmp_path / "junit.xml").getroot().iter("testcase")  # noqa: S314
    assert [str(case.get("name")).split()[0] for case in cases] == ["IMAGE-13"]
