"""Real training jobs that are killed, stopped or fail: what is left, and what they end with."""

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.artifact import load_info
from brain_tumor.training.checkpoints import Checkpoints
from brain_tumor.training.record import Past
from tests import hosts
from tests.jobs import BIN, UNMEASURED, make_ml_dir, run_train

KILLS = 20 if os.environ.get("BRAIN_TUMOR_LONG_TESTS") else 3
# Those of the fixture `trained`, whose job nothing disturbs.
HYPERPARAMETERS = {"epochs": "3", "image-size": "32", "batch-size": "8", "backbone": "small"}
FEW_BYTES = 1_000_000


@pytest.fixture
def ml_dir(tmp_path: Path, prepared: Path) -> Path:
    """Give the /opt/ml of a job with checkpoints."""
    parts = {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")}
    base = make_ml_dir(tmp_path / "ml", parts, HYPERPARAMETERS)
    (base / "checkpoints").mkdir()
    return base


def _start(ml_dir: Path, before: Callable[[], object] = lambda: None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BIN / "brain-tumor", "train"],
        env={
            **os.environ,
            **UNMEASURED,
            "SAGEMAKER_BASE_DIR": str(ml_dir),
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=before,
    )


def _read_until(process: subprocess.Popen[str], *markers: str) -> list[str]:
    """Read lines of a job up to one that holds a marker, or to the end."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if any(marker in line for marker in markers):
            break
    return lines


def _epochs(lines: list[str]) -> list[int]:
    return [int(line[len("epoch=") :].split(";")[0]) for line in lines if line.startswith("epoch=")]


def _history(ml_dir: Path) -> dict[str, Any]:
    """Read how training went, apart from the seconds it took."""
    history = json.loads((ml_dir / "output/data/training_history.json").read_text())
    for epoch in history["epochs"]:
        del epoch["seconds"]
    return dict(history)


def _predictions(ml_dir: Path) -> str:
    return (ml_dir / "output/data/predictions.csv").read_text()


def _run_and_kill(ml_dir: Path, chance: np.random.Generator, number: int) -> list[str]:
    """Kill a job at a random moment, mostly one at which there is something to lose."""
    with _start(ml_dir) as process:
        lines = []
        if number % 3 < 2:
            lines = _read_until(process, "epoch=", "Temperature fitted")
        try:
            process.wait(timeout=chance.uniform(0, 1 if lines else 15))
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.stdout is not None
        return lines + process.stdout.readlines()


def _cut_newest_checkpoint(ml_dir: Path) -> None:
    """Leave the first half of it, as where the machine was taken while it was uploaded."""
    newest = max((ml_dir / "checkpoints").iterdir())
    os.truncate(newest, newest.stat().st_size // 2)


def test_a_job_that_is_killed_again_and_again_ends_as_one_that_was_not(
    ml_dir: Path, trained: Path
) -> None:
    chance, done, lost = np.random.default_rng(0), 0, 0
    for number in range(KILLS + 1):
        if number < KILLS:
            epochs = _epochs(_run_and_kill(ml_dir, chance, number))
        else:
            _cut_newest_checkpoint(ml_dir)
            lost = 1
            job = run_train(ml_dir)
            assert job.returncode == 0, job.stderr
            assert "is damaged and skipped" in job.stdout + job.stderr
            epochs = _epochs(job.stdout.splitlines())
        if epochs:
            # The epoch of the last line may not have been written down yet.
            assert max(done - lost, 1) <= epochs[0] <= done + 1
            assert epochs == list(range(epochs[0], epochs[-1] + 1))
            done = epochs[-1]
    # Not within a tolerance: batches, variations, dropout and averages go on with the same bits.
    assert _history(ml_dir) == _history(trained)
    assert _predictions(ml_dir) == _predictions(trained)
    assert not list(ml_dir.rglob(".incomplete*"))
    assert len(list((ml_dir / "checkpoints").iterdir())) == 2


def test_a_job_that_was_stopped_while_loading_has_a_model_and_goes_on_when_started_again(
    ml_dir: Path, trained: Path
) -> None:
    def block() -> None:
        # As the image's `train` does before there is anybody to listen.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    with _start(ml_dir, block) as process:
        process.send_signal(signal.SIGTERM)
        lines = _read_until(process, "Hyperparameters:")
        process.send_signal(signal.SIGTERM)
        lines += _read_until(process)
        assert process.wait() == 0, lines
    history = _history(ml_dir)
    assert (history["ended"], len(history["epochs"])) == ("asked to stop", 1)
    assert load_info(ml_dir / "model").metrics["ended"] == "asked to stop"
    assert "Stopped before its end" in (ml_dir / "output/data/MODEL_CARD.md").read_text()
    assert _predictions(ml_dir) != _predictions(trained)

    # Started again it is stopped once more, in evaluation, when all is learnt.
    with _start(ml_dir) as process:
        lines = _read_until(process, "Temperature fitted")
        process.send_signal(signal.SIGTERM)
        lines += _read_until(process)
        assert process.wait() == 0, lines
    assert _epochs(lines) == [1, 2, 3]
    assert _history(ml_dir) == _history(trained)
    assert _predictions(ml_dir) == _predictions(trained)
    assert load_info(ml_dir / "model").metrics["ended"] == "all epochs done"


def test_a_job_that_is_stopped_while_it_waits_for_a_pipe_ends_at_once_and_says_so(
    ml_dir: Path,
) -> None:
    config = ml_dir / "input/config/inputdataconfig.json"
    config.write_text(json.dumps({"train": {"TrainingInputMode": "Pipe"}}))
    with _start(ml_dir) as process:
        lines = _read_until(process, "Waiting for")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 1, lines + _read_until(process)
    failure = (ml_dir / "output" / "failure").read_text()
    assert failure.startswith("Channel train: Asked to stop while waiting for ")
    assert "train_0; nothing was trained." in failure.splitlines()[0]
    assert not list((ml_dir / "model").iterdir())


def test_a_checkpoint_of_another_job_is_refused_before_anything_is_trained(ml_dir: Path) -> None:
    folder = ml_dir / "checkpoints"
    Checkpoints(folder, {"hyperparameter": {"epochs": 5}}).write(Past())
    job = run_train(ml_dir)
    assert job.returncode == 1
    failure = (ml_dir / "output" / "failure").read_text()
    assert "is of another job, so it is not loaded: hyperparameter epochs is 5 there" in failure
    assert "and 3 here" in failure
    assert len(list(folder.iterdir())) == 1
    assert "Network" not in job.stderr


FAULTS = """
import os, sys
if sys.argv and sys.argv[0].endswith("train"):
    import signal, subprocess
    import brain_tumor.training.run as run
    # A shell has what it starts in the background ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    def fail(*_):
        exec(os.environ["FAULT"])
    run._read_data = fail
"""


@pytest.mark.parametrize(
    ("fault", "code", "cause"),
    [
        ("sys.exit(7)", 7, "SystemExit: something ended the job before there was a model, with 7"),
        ("sys.exit(0)", 1, "SystemExit"),
        ("bytearray(2**62)", 1, "Out of memory (MemoryError"),
        ("subprocess.run(['sh', '-c', 'kill -9 $$'], check=True)", 137, "A child process failed"),
        ("os.kill(os.getpid(), 2)", 130, "KeyboardInterrupt"),
    ],
)
def test_whatever_ends_a_job_is_its_exit_code_and_stands_in_the_failure_file(
    ml_dir: Path, fault: str, code: int, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ml_dir / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", f"{ml_dir}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("FAULT", fault)
    job = run_train(ml_dir)
    assert job.returncode == code
    failure = (ml_dir / "output" / "failure").read_bytes()
    assert failure.decode().startswith(cause)
    assert len(failure.rstrip()) <= 1024
    assert list((ml_dir / "model").iterdir()) == []
    assert not (ml_dir / "output" / "success").exists()


def test_beside_other_hosts_too_a_job_ends_with_the_exit_code_of_what_ended_it(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULTS)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    # The chief waits for what the other one does not send.
    fault = "_[-1].is_chief or sys.exit(7); _[-1].from_each(bytes)"
    parts = {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")}
    ml_dirs = hosts.make_hosts(tmp_path, [parts] * 2, HYPERPARAMETERS)
    assert hosts.run(ml_dirs, FAULT=fault) == {"algo-1": 1, "algo-2": 7}
    for ml_dir in ml_dirs.values():
        assert hosts.failure(ml_dir).startswith("Host algo-2: SystemExit: something ended the job")


@pytest.mark.parametrize("folder", ["checkpoints", "model"])
def test_a_full_disk_fails_the_job_with_the_folder_and_leaves_nothing_half_written(
    ml_dir: Path, folder: str
) -> None:
    if folder == "model":
        shutil.rmtree(ml_dir / "checkpoints")
    (ml_dir / "model" / ".incomplete-1").mkdir()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FEW_BYTES, FEW_BYTES))

    with _start(ml_dir, limit) as process:
        lines = _read_until(process)
        assert process.wait() == 1, lines
    failure = (ml_dir / "output" / "failure").read_text()
    assert failure.startswith(f"The disk is full: no more can be written to {ml_dir / folder} (")
    assert "MiB are free" in failure
    assert list((ml_dir / folder).iterdir()) == list((ml_dir / "model").iterdir()) == []
