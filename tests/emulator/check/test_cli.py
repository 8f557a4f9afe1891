"""The command `check` as a person uses it, and its reports."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from local_test.emulator.check.suite import ALL
from local_test.emulator.cli import main
from tests.docker import needs_docker
from tests.emulator.check.conftest import PAYLOAD, WEIGHTS, command
from tests.jobs import ROOT


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "local_test.emulator", "check", *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_list_names_every_rule_and_its_source() -> None:
    listed = CliRunner().invoke(main, ["check", "--list"])
    lines = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [rule.id for rule in ALL]
    assert all(rule.source in line for rule, line in zip(ALL, lines, strict=True))


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ([], 2, "Give an IMAGE, or --command"),
        (["image", "--command", "train"], 2, "Give an IMAGE, or --command"),
        (["image", "--only", "TRAIN-99"], 2, "--only TRAIN-99: there is no such rule"),
        (["--command", "true", "-s", "epochs"], 2, "-s epochs: wanted key=value"),
        (["--command", "true", "--data", "nowhere"], 2, "--data nowhere: there is no such folder"),
        (["--command", "true", "--data", "train=x"], 2, "Channel train: "),
        pytest.param(["no-such-image"], 2, "There is no image no-such-image", marks=needs_docker),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_another_code_than_a_rule_that_fails(
    arguments: list[str], code: int, reason: str
) -> None:
    refused = CliRunner().invoke(main, ["check", *arguments])
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert reason in refused.stderr


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, int]:
    folder = tmp_path_factory.mktemp("reports")
    (folder / "model").mkdir()
    (folder / "model/weights.json").write_text(WEIGHTS)
    (folder / "payload.json").write_bytes(PAYLOAD.body)
    done = check(
        *("--serve-command", command("talks in its ping", "serve"), "--only", "serve-0[1-5]"),
        *("--only", "TRAIN-01", "--model", folder / "model", "--data", f"train={folder / 'model'}"),
        *("--payload", folder / "payload.json", "--content-type", PAYLOAD.content_type),
        *("--junit", folder / "out/junit.xml", "--html", folder / "out/page.html"),
        *("--healthy-timeout", 30),
    )
    return folder / "out", done.stdout, done.returncode


def test_a_line_a_rule_is_printed_and_what_failed_is_explained(
    reported: tuple[Path, str, int],
) -> None:
    _, printed, code = reported
    assert code == 1
    states = {line.split()[1]: line.split()[0] for line in printed.splitlines() if "[" in line}
    assert states == {
        "TRAIN-01": "N/A",
        "SERVE-01": "PASS",
        "SERVE-02": "N/A",
        "SERVE-03": "PASS",
        "SERVE-04": "FAIL",
        "SERVE-05": "PASS",
    }
    sources = {rule.id: rule.source for rule in ALL}
    lines = [line for line in printed.splitlines() if "[" in line]
    assert all(line.endswith(f"] ({sources[line.split()[1]]})") for line in lines)
    assert "The guide asks for status 200 and an empty body." in printed
    assert "3 passed, 1 failed, 2 not applicable" in printed
    assert "30 s in place of 8 minutes to be healthy." in printed


def test_junit_xml_has_a_case_a_rule(reported: tuple[Path, str, int]) -> None:
    suite = ElementTree.parse(reported[0] / "junit.xml").getroot()  # noqa: S314 - our own
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
        "tests": "6",
        "failures": "1",
        "skipped": "2",
    }
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "2 bytes"
    assert "Source: your-algorithms-batch-code" in (failure.text or "")


def test_the_page_shows_what_failed_first(reported: tuple[Path, str, int]) -> None:
    page = (reported[0] / "page.html").read_text()
    cells: list[str] = []

    class Cells(HTMLParser):
        def handle_data(self, data: str) -> None:
            cells.append(data)

    Cells().feed(page)
    assert cells.index("SERVE-04") < cells.index("SERVE-01") < cells.index("SERVE-02")
    assert any("30 s in place of 8 minutes" in cell for cell in cells)


def test_json_has_all_and_the_exit_code_is_0_where_nothing_failed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    done = check(
        *("--command", command("", "train"), "--data", f"train={tmp_path}", "--json"),
        *("--only", "TRAIN-01", "-s", "epochs=2"),
    )
    assert done.returncode == 0, done.stderr
    (rule,) = json.loads(done.stdout)["rules"]
    assert (rule["id"], rule["state"]) == ("TRAIN-01", "PASS")
    assert rule.keys() == {"id", "state", "title", "seen", "why", "source"}


def test_a_job_that_hangs_is_ended_and_the_rules_that_need_it_do_not_apply(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    done = check(
        *("--command", command("", "train"), "--data", f"train={tmp_path}", "-s", "epochs=100000"),
        *("--only", "TRAIN-0[1235]", "--job-timeout", 1),
    )
    assert done.returncode == 1
    assert "not ended after 1 s; -s shortens it" in done.stdout
    lines = [line.split()[:2] for line in done.stdout.splitlines() if "[" in line]
    # It ended with exit code 0 and left a model, but only when it was stopped.
    assert lines[1:] == [["N/A", "TRAIN-02"], ["N/A", "TRAIN-03"], ["N/A", "TRAIN-05"]]


def test_a_check_that_had_no_time_for_all_says_so_and_does_not_pass() -> None:
    done = CliRunner().invoke(main, ["check", "--command", "true", "--time-limit", "3"])
    assert done.exit_code == 1
    assert "The 3 s for all were not enough: what needs more is N/A." in done.stdout
