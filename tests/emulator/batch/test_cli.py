"""The command `transform`, with the stub in place of an image."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from local_test.emulator.cli import main
from tests.emulator.hosting.conftest import STUB
from tests.jobs import ROOT

_COMMAND = (sys.executable, "-m", "local_test.emulator")
_STUB = f"env PYTHONPATH={ROOT} {sys.executable} -u -m tests.emulator.batch.batch_stub"


def _transform(*words: object) -> Result:
    ran = CliRunner().invoke(main, ["transform", *map(str, words)])
    # An exception that is no exit would be a traceback.
    assert isinstance(ran.exception, SystemExit | None)
    return ran


def test_a_job_prints_its_description_and_leaves_its_outputs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id-1,5\nid-2,6\n")
    ran = _transform(
        *("--command", _STUB, "--data", tmp_path / "a.csv", "--out", tmp_path / "out"),
        *("--content-type", "text/csv", "--split-type", "Line", "--assemble-with", "Line"),
        *("--strategy", "SingleRecord", "--max-concurrent", 2, "--join-source", "Input"),
        *("--input-filter", "$[1:]", "--max-payload-mb", 1),
    )
    assert ran.exit_code == 0, ran.stderr
    assert (tmp_path / "out/a.csv.out").read_text() == "id-1,5,1\nid-2,6,1\n"
    described = json.loads(ran.stdout)
    assert described["TransformJobStatus"] == "Completed"
    assert described["BatchStrategy"] == "SingleRecord"
    assert "1 objects transformed, 0 failed; 2 requests at once, SingleRecord, 1 MB" in ran.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--env", "FAILS=1"], "did not pass the ping health check"),
        (["--content-type", "text/csv", "--output-filter", "$[9]", "--retries", 0], "[9] selects"),
    ],
)
def test_a_job_that_fails_ends_with_1_and_its_reason(
    tmp_path: Path, words: list[object], reason: str
) -> None:
    (tmp_path / "a.csv").write_text("5\n")
    ran = _transform(
        "--command", _STUB, "--data", tmp_path / "a.csv", "--out", tmp_path / "out", *words
    )
    assert ran.exit_code == 1
    assert reason in json.loads(ran.stdout)["FailureReason"]
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_a_job_is_one_sentence(tmp_path: Path) -> None:
    words = ["--command", _STUB, "--data", tmp_path, "--out", tmp_path / "out"]
    ran = _transform(*words, "--join-source", "Input")
    assert ran.exit_code == 1
    assert "Filters and joins need the content type" in ran.stderr


def test_ctrl_c_ends_a_job_at_once_though_its_requests_would_take_minutes(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text('{"status": 200}')
    for slow in "bcdef":
        (tmp_path / "data" / slow).write_text('{"sleep": 600, "status": 200}')
    words = [
        *("transform", "--command", STUB, "--data", tmp_path / "data"),
        "--out",
        tmp_path / "o",
    ]
    with subprocess.Popen(
        [*_COMMAND, *map(str, words)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr
        next(line for line in running.stderr if "a.out is there" in line)
        running.send_signal(signal.SIGINT)
        _, log = running.communicate(timeout=120)
    assert running.returncode == 128 + signal.SIGINT
    assert "asked again" not in log
    assert "Traceback" not in log
