"""data.fifo: named pipes that somebody else makes and fills."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from brain_tumor.data.fifo import open_fifo
from brain_tumor.errors import DataError

SECONDS = 30.0


def _in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_pipe_that_is_made_later_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, asked = tmp_path / "train_0", threading.Event()
    data = os.urandom(300_000)  # more than a pipe holds
    monkeypatch.setattr(time, "sleep", lambda _: asked.set())

    def make_and_fill() -> None:
        assert asked.wait(SECONDS)
        os.mkfifo(path)
        path.write_bytes(data)

    writer = _in_background(make_and_fill)
    with open_fifo(path, SECONDS) as stream:
        assert stream.read() == data
    writer.join()


def test_a_pipe_that_is_closed_without_a_word_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "train_0"
    os.mkfifo(path)
    writer = _in_background(lambda: path.write_bytes(b""))
    with open_fifo(path, SECONDS) as stream:
        assert stream.read() == b""
    writer.join()


def test_a_writer_whose_pipe_is_closed_early_is_told_and_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "train_0"
    os.mkfifo(path)
    told: list[OSError] = []

    def fill() -> None:
        try:
            path.write_bytes(bytes(1_000_000))
        except OSError as error:
            told.append(error)

    writer = _in_background(fill)
    with open_fifo(path, SECONDS) as stream:
        stream.read(10)
    writer.join(SECONDS)
    assert not writer.is_alive()
    assert isinstance(told[0], BrokenPipeError)


def test_a_pipe_that_never_appears_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"val_0 did not appear.*local mode"):
        open_fifo(tmp_path / "val_0", 0.05)


@pytest.mark.parametrize("make", [lambda _: None, os.mkfifo], ids=["missing", "without a writer"])
def test_a_stop_ends_the_wait(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "train_0"
    make(path)
    with pytest.raises(DataError, match=r"Asked to stop while waiting for .*train_0"):
        open_fifo(path, SECONDS, lambda: True)


def test_a_pipe_that_nobody_writes_into_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "val_0")
    with pytest.raises(DataError, match=r"Nothing was written into .*val_0 for 0.05 seconds"):
        open_fifo(tmp_path / "val_0", 0.05)
