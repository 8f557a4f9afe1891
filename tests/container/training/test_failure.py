"""training.failure: the cause within 1024 bytes, and a true exit code."""

import errno
import os
import signal
import subprocess
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.errors import DataError, DiskFullError
from brain_tumor.training.failure import (
    FailureFile,
    cause_of,
    exit_code_of,
    shortened,
    writing_to,
)


def _failed_child(*command: str) -> subprocess.CalledProcessError:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        subprocess.run(command, check=True)
    return failed.value


def _killed_worker() -> BrokenProcessPool:
    with ProcessPoolExecutor(1) as pool:
        killed = pool.submit(os.kill, os.getpid(), 0)
        killed.result()
        (worker,) = pool._processes
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(BrokenProcessPool) as broken:
            pool.submit(int).result()
    return broken.value


@pytest.mark.parametrize(
    ("error", "code", "cause"),
    [
        (DataError("Channel train holds nothing."), 1, "Channel train holds nothing."),
        (ValueError("seven"), 1, "ValueError: seven"),
        (SystemExit(7), 7, "SystemExit: something ended the job before there was a model, with 7"),
        (SystemExit(0), 1, "SystemExit"),
        (SystemExit(None), 1, "SystemExit"),
        (SystemExit("no licence"), 1, "SystemExit: something ended the job before there was a m"),
        (SystemExit(256), 1, "SystemExit"),
        (KeyboardInterrupt(), 130, "KeyboardInterrupt: the job was interrupted"),
        (MemoryError("9 GiB wanted"), 1, "Out of memory (MemoryError: 9 GiB wanted); this process"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"),
            1,
            "Out of memory (ResourceExhaustedError: OOM when allocating",
        ),
    ],
)
def test_every_failure_has_its_cause_first_and_an_exit_code_that_is_not_0(
    error: BaseException, code: int, cause: str
) -> None:
    assert exit_code_of(error) == code
    assert cause_of(error).startswith(cause)


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("kill -9 $$", 137)])
def test_a_child_that_failed_or_was_killed_gives_the_job_its_exit_code(
    command: str, code: int
) -> None:
    error = _failed_child("sh", "-c", command)
    assert exit_code_of(error) == code
    assert cause_of(error).startswith("A child process failed: Command")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_worker_says_that_memory_is_the_usual_cause() -> None:
    error = _killed_worker()
    assert exit_code_of(error) == 137
    assert cause_of(error).startswith("A child process was killed: ")
    assert "too little memory" in cause_of(error)


def test_an_unexpected_failure_says_where_it_happened_innermost_first() -> None:
    def inner() -> None:
        raise ValueError("seven")

    with pytest.raises(ValueError, match="seven") as raised:
        inner()
    first, place, *_ = cause_of(raised.value).splitlines()
    assert first == "ValueError: seven"
    assert __file__ in place
    assert place.endswith("in inner")


@given(st.text(), st.integers(10, 200))
def test_a_text_is_cut_to_bytes_at_a_word(text: str, longest: int) -> None:
    cut = shortened(text, longest)
    assert len(cut.encode(errors="replace")) <= longest
    if cut != text:
        assert cut.endswith("…")
        assert text.startswith(cut[:-1])


def test_a_cut_text_ends_with_a_whole_word() -> None:
    assert shortened("Ärger mit dem Datenträger", 18) == "Ärger mit dem…"
    assert len(cause_of(ValueError("wort " * 1000)).encode()) <= 1024


def test_a_full_disk_is_named_with_the_folder_and_what_is_free(tmp_path: Path) -> None:
    with (
        pytest.raises(DiskFullError) as full,
        writing_to(tmp_path),
        Path("/dev/full").open("wb") as stream,
    ):
        stream.write(bytes(10_000))
    assert str(full.value).startswith(f"The disk is full: no more can be written to {tmp_path} (No")
    assert "MiB are free" in str(full.value)
    assert "VolumeSizeInGB" in str(full.value)


def test_tensorflows_words_for_a_full_disk_are_understood(tmp_path: Path) -> None:
    error = tf.errors.ResourceExhaustedError(None, None, "x.data; No space left on device")
    with pytest.raises(DiskFullError), writing_to(tmp_path):
        raise error


def test_other_failures_of_writing_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), writing_to(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def test_what_a_former_run_said_is_removed_and_room_is_kept_without_a_name(tmp_path: Path) -> None:
    for stale in ("failure", "success"):
        (tmp_path / stale).write_text("of a former run")
    file = FailureFile(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert file.write("the cause")
    assert (tmp_path / "failure").read_text() == "the cause\n"


def test_a_failure_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = FailureFile(tmp_path)
    (tmp_path / "failure").mkdir()
    assert not file.write("the cause")


def test_a_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    assert FailureFile(tmp_path).write("no such file: \udcff.jpg")
    assert (tmp_path / "failure").read_text() == "no such file: ?.jpg\n"


def test_the_first_cause_stays_where_another_thread_has_one_too(tmp_path: Path) -> None:
    failure = FailureFile(tmp_path)
    assert failure.write("the first")
    assert failure.write("the second")
    assert (tmp_path / "failure").read_text() == "the first\n"
