"""The command line as a person uses it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from local_test.emulator.cli import main
from tests.docker import needs_docker
from tests.emulator.conftest import labelled, run_label
from tests.jobs import ROOT

_COMMAND = (sys.executable, "-m", "local_test.emulator", "train")


def emulate(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `train` to its end."""
    return subprocess.run(
        [*_COMMAND, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Give an IMAGE, or --command"),
        (["image", "--command", "train"], "Give an IMAGE, or --command"),
        (["image", "--data", "/nonexistent"], "there is no such folder"),
        (["image", "-s", "epochs"], "-s epochs: wanted key=value"),
        (["image", "-s", f"k={'x' * 2501}"], "SageMaker takes 256 and 2500"),
        (["image", "--env", "K"], "--env K: wanted key=value"),
        (["image", "--job-name", "a_job"], "'a_job' is no name for a training job"),
        (["--command", "sh -c 'train"], "--command sh -c 'train: No closing quotation"),
        (["--command", " "], "--command has no word"),
        (["--command", "train", "--hosts", "2", "--isolated"], "no emulation of several hosts and"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_no_traceback(
    tmp_path: Path, arguments: list[str], reason: str
) -> None:
    refused = CliRunner().invoke(main, ["train", *arguments, "--out", str(tmp_path)])
    # An exception that is no exit would be a traceback.
    assert isinstance(refused.exception, SystemExit)
    assert refused.exit_code in {1, 2}
    assert reason in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_an_engine_the_way_without_one_is_told(tmp_path: Path) -> None:
    refused = emulate("image", "--out", tmp_path, DOCKER_HOST="unix:///nonexistent.sock")
    assert refused.returncode == 1
    assert "No Docker engine answers" in refused.stderr
    assert "can be run with --command" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_job_is_used_once_so_that_no_old_result_is_taken_for_a_new_one(
    tmp_path: Path,
) -> None:
    ran = ("--command", "true", "--job-name", "job", "--out", tmp_path)
    assert emulate(*ran).returncode == 0
    again = emulate(*ran)
    assert again.returncode == 1
    assert f"{tmp_path}/job is there" in again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_its_children_and_leaves_no_folder(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "temporary").mkdir()
    words = [*_COMMAND, "--command", "sh -c 'trap : TERM; sleep 600 & echo pid $!; wait; wait'"]
    with subprocess.Popen(
        [*words, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr
        child = next(line.split()[1] for line in running.stderr if line.startswith("pid "))
        running.send_signal(number)
        assert running.wait(timeout=60) == 128 + number
    assert list((tmp_path / "temporary").iterdir()) == []
    # A dead child is gone, or waits for an init that buries it.
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@needs_docker
def test_a_job_prints_its_log_beside_and_its_description_alone_on_stdout(
    image: str, tmp_path: Path
) -> None:
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/a").write_text("a scan\n")
    (tmp_path / "metrics.json").write_text('[{"Name": "loss", "Regex": "loss=(.*);"}]')
    ran = emulate(
        *(image, "--data", tmp_path / "data", "-s", "epochs=3", "--job-name", "job"),
        *("--env", "SCRIPT=cat /opt/ml/input/data/train/a; echo 'loss=0.5;'; exit 4"),
        *("--metric-definitions", tmp_path / "metrics.json", "--out", tmp_path / "out"),
    )
    assert ran.returncode == 1
    described = json.loads(ran.stdout)
    assert described == json.loads((tmp_path / "out/job/description.json").read_text())
    assert described["FailureReason"] == "AlgorithmError: Exit Code: 4"
    assert described["HyperParameters"] == {"epochs": "3"}
    assert described["FinalMetricDataList"][0]["Value"] == 0.5
    printed = ran.stderr.splitlines()
    assert "a scan" in printed
    assert "emulator: exit codes: algo-1 4" in printed
    assert "emulator: FailureReason: AlgorithmError: Exit Code: 4" in printed
    assert "\x1b" not in ran.stderr
    assert any("Training - Training image download completed" in line for line in printed)


@needs_docker
def test_what_the_engine_refuses_is_one_sentence_and_no_traceback(
    image: str, tmp_path: Path
) -> None:
    refused = emulate(image, "--memory", "much", "--out", tmp_path, "--job-name", "job")
    assert refused.returncode == 1
    assert "much" in refused.stderr
    assert "Traceback" not in refused.stderr
    # The name is not used up by a job that never ran.
    assert list(tmp_path.iterdir()) == []


@needs_docker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_and_leaves_nothing_on_the_engine(
    image: str, tmp_path: Path, number: signal.Signals
) -> None:
    script = "SCRIPT=trap '' TERM; echo running; sleep 600"
    words = [*_COMMAND, image, "--env", script, "--hosts", "2", "--out", str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        next(line for line in running.stderr if "running" in line)
        label = run_label(image)
        # Two containers with three volumes each, and a network.
        assert len(labelled(label)) == 9
        running.send_signal(number)
        assert running.wait(timeout=60) == 128 + number
    assert labelled(label) == []


@needs_docker
def test_a_signal_while_a_job_is_being_stopped_leaves_nothing_either(
    image: str, tmp_path: Path
) -> None:
    script = "SCRIPT=trap 'echo heard' TERM; echo running; while :; do sleep 0.1; done"
    words = [*_COMMAND, image, "--env", script, "--stop-after", "0.5", "--out", str(tmp_path)]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        next(line for line in running.stderr if "heard" in line)
        label = run_label(image)
        running.send_signal(signal.SIGTERM)
        _, printed = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in printed
    assert labelled(label) == []
