"""A job without Docker: a command of this machine, and our own package."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from local_test.emulator import hosts
from local_test.emulator.channels import Channel
from local_test.emulator.console import Console
from local_test.emulator.errors import EmulatorError
from local_test.emulator.job import Run
from local_test.emulator.record import Record
from local_test.emulator.specification import TrainingJob


def _train(script: str, folder: Path, **fields: Any) -> Record:
    job = TrainingJob(name="job", image="sh", **fields)
    with hosts.command(["sh", "-c", script], job) as make_host:
        return Run(job, make_host, folder, Console(io.StringIO())).lead()


def _log(folder: Path) -> str:
    return (folder / "logs/algo-1.log").read_text()


def test_a_command_gets_the_folder_and_what_it_leaves_becomes_the_archives(
    tmp_path: Path,
) -> None:
    record = _train(
        "cd $SAGEMAKER_BASE_DIR; cat input/config/hyperparameters.json; echo; pwd\n"
        "echo m > model/m; echo $TRAINING_JOB_NAME >&2",
        tmp_path,
        hyperparameters={"epochs": "3"},
    )
    assert record.status == "Completed"
    hyperparameters, base, name = _log(tmp_path).splitlines()
    assert (hyperparameters, name) == ('{"epochs": "3"}', "job")
    assert not Path(base).exists()
    with tarfile.open(tmp_path / "output/model.tar.gz") as tar:
        assert tar.getnames() == ["m"]


@pytest.mark.parametrize("mode", ["File", "FastFile", "Pipe"])
def test_all_input_modes_work_without_docker(tmp_path: Path, mode: Any) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("content")
    where = "train_0" if mode == "Pipe" else "train/a"
    channels = (Channel("train", tmp_path / "data", mode=mode),)
    _train(f"cat $SAGEMAKER_BASE_DIR/input/data/{where}", tmp_path, channels=channels)
    assert _log(tmp_path) == "content\n"


def test_a_stop_reaches_the_command_alone_and_no_child_outlives_it(tmp_path: Path) -> None:
    record = _train(
        "trap 'echo saved > $SAGEMAKER_BASE_DIR/model/m; exit 3' TERM\n"
        "(trap 'echo child heard it' TERM; sleep 300) & echo $!; while :; do sleep 0.1; done",
        tmp_path,
        stop_after=1,
    )
    assert record.codes == [{"algo-1": 3}]
    assert record.status == "Stopped"
    (child,) = _log(tmp_path).split()
    # A dead child is gone, or waits for an init that buries it.
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    record = _train("trap '' TERM; sleep 300 & wait", tmp_path, stop_after=1, grace=0.3)
    assert record.codes == [{"algo-1": 137}]


def test_a_spot_interruption_restores_the_checkpoints(tmp_path: Path) -> None:
    record = _train(
        "cd $SAGEMAKER_BASE_DIR; cat checkpoints/c && exit 0\n"
        "echo found > checkpoints/c; exec sleep 300",
        tmp_path,
        checkpoints=tmp_path / "checkpoints",
        spot_kill_after=1,
    )
    assert record.codes == [{"algo-1": 137}, {"algo-1": 0}]
    assert "found" in _log(tmp_path).split()


def test_a_command_that_is_not_there_fails_the_job_and_is_named(tmp_path: Path) -> None:
    job = TrainingJob(name="job", image="x")
    with hosts.command(["no-such-command"], job) as make_host:
        record = Run(job, make_host, tmp_path, Console(io.StringIO())).lead()
    assert record.codes == [{"algo-1": 127}]
    assert "no-such-command cannot be started" in _log(tmp_path)


def test_what_only_an_engine_can_give_is_refused() -> None:
    job = TrainingJob(name="job", image="x", instance_count=2, memory="1g", arguments=("x",))
    with (
        pytest.raises(EmulatorError, match="several hosts and a memory limit and Container"),
        hosts.command(["x"], job),
    ):
        pass


def test_the_emulator_needs_nothing_of_what_it_runs() -> None:
    code = (
        "import sys, local_test.emulator.cli\n"
        "print({'brain_tumor', 'tensorflow', 'numpy', 'flask', 'boto3'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout == "set()\n", ran.stderr


def test_a_job_that_never_stops_printing_is_stopped_in_time(tmp_path: Path) -> None:
    record = _train("exec timeout 20 yes", tmp_path, stop_after=0.5)
    assert record.status == "Stopped"


def test_a_folder_in_the_place_of_the_failure_file_leaves_the_exit_code_as_the_reason(
    tmp_path: Path,
) -> None:
    record = _train("mkdir -p $SAGEMAKER_BASE_DIR/output/failure/x; exit 9", tmp_path)
    assert record.failure == "AlgorithmError: Exit Code: 9"
