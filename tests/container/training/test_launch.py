"""training.launch: what is found out before the toolkit's `train` takes over."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from brain_tumor.errors import BrainTumorError, DataError, HyperparameterError
from brain_tumor.training.launch import launch
from brain_tumor.training.stop import StopSignal
from tests.jobs import Replaced
from tests.scans import write_folder

CONFIG = {
    "input/config/resourceconfig.json": b'{"current_host": "algo-1", "hosts": ["algo-1"]}',
    "input/config/hyperparameters.json": b"{}",
    "input/config/inputdataconfig.json": b"{}",
}


pytestmark = pytest.mark.usefixtures("no_exec")


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what `launch` sets."""
    monkeypatch.setenv("SAGEMAKER_TRAINING_MODULE", "")


def test_a_job_becomes_the_toolkits_train_with_our_module(tmp_path: Path) -> None:
    with pytest.raises(Replaced) as caught:
        launch(write_folder(tmp_path / "ml", CONFIG))
    path, arguments = caught.value.args
    assert Path(path).name == "train"
    assert os.access(path, os.X_OK)
    assert arguments == [path]
    assert os.environ["SAGEMAKER_TRAINING_MODULE"] == "brain_tumor.training.run:main"


def test_a_sigterm_waits_until_the_job_listens(tmp_path: Path) -> None:
    with pytest.raises(Replaced):
        launch(write_folder(tmp_path / "ml", CONFIG))
    # To this thread: pytest has others, which `launch` as the first of a process has not.
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    assert signal.SIGTERM in signal.sigpending()
    assert StopSignal()()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_what_the_toolkit_needs_and_the_platform_may_leave_out_is_made(tmp_path: Path) -> None:
    name = "input/config/resourceconfig.json"
    base = write_folder(tmp_path / "ml", {name: CONFIG[name]})
    with pytest.raises(Replaced):
        launch(base)
    for config in ("hyperparameters.json", "inputdataconfig.json"):
        assert json.loads((base / "input" / "config" / config).read_text()) == {}
    assert (base / "model").is_dir()
    assert (base / "output").is_dir()


def test_a_folder_that_is_not_opt_ml_is_named_and_the_failure_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"resourceconfig\.json does not exist.*SAGEMAKER_BASE_DIR"):
        launch(tmp_path)
    failure = (tmp_path / "output" / "failure").read_text()
    assert failure.startswith(f"{tmp_path}/input/config/resourceconfig.json does not exist")


@pytest.mark.parametrize("name", CONFIG)
@pytest.mark.parametrize(
    ("content", "cause"), [(b"{", "is no JSON"), (b"[]", "holds list"), (b"\xff", "is no JSON")]
)
def test_a_config_file_that_is_no_json_object_is_named(
    name: str, content: bytes, cause: str, tmp_path: Path
) -> None:
    base = write_folder(tmp_path / "ml", {**CONFIG, name: content})
    with pytest.raises(DataError, match=cause):
        launch(base)
    assert (base / "output" / "failure").read_text().startswith(f"{base / name} {cause}")


@pytest.mark.parametrize("name", ["output", "model", "code"])
def test_a_folder_that_cannot_be_made_is_named_with_the_user(name: str, tmp_path: Path) -> None:
    base = write_folder(tmp_path / "ml", {**CONFIG, name: b"a file where a folder is wanted"})
    with pytest.raises(DataError, match=f"{name} cannot be made by user {os.getuid()}"):
        launch(base)


def test_a_folder_that_cannot_be_written_is_named_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write_folder(tmp_path / "ml", CONFIG)
    # Tests may run as root, who can write anywhere.
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "model")
    with pytest.raises(DataError, match=f"model cannot be written by user {os.getuid()}"):
        launch(base)


def test_a_missing_toolkit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BrainTumorError, match="sagemaker-training is not installed"):
        launch(write_folder(tmp_path / "ml", CONFIG))


def test_a_config_file_that_nobody_reads_may_hold_anything(tmp_path: Path) -> None:
    unread = {"input/config/upstreamoutputdataconfig.json": b"[]"}
    with pytest.raises(Replaced):
        launch(write_folder(tmp_path / "ml", CONFIG | unread))


def test_arguments_are_refused_with_where_hyperparameters_belong(tmp_path: Path) -> None:
    base = write_folder(tmp_path / "ml", CONFIG)
    with pytest.raises(HyperparameterError, match=r"was given: --epochs 2\. Hyperparameters stand"):
        launch(base, ("--epochs", "2"))
    assert (base / "output" / "failure").read_text().startswith("train takes no arguments")


def test_a_script_of_sdk_2_is_named_as_one_that_is_not_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = {"input/config/hyperparameters.json": b'{"sagemaker_program": "\\"own.py\\""}'}
    with pytest.raises(Replaced):
        launch(write_folder(tmp_path / "ml", CONFIG | given))
    assert 'The script "own.py" (hyperparameter sagemaker_program) is not run' in caplog.text
