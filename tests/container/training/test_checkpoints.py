"""training.checkpoints and training.record: a loop that is killed goes on as if undisturbed."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from brain_tumor.errors import CheckpointError, DiskFullError
from brain_tumor.training.checkpoints import Checkpoints, pack, unpack
from brain_tumor.training.metrics import Epoch, Fit
from brain_tumor.training.precision import Precision
from brain_tumor.training.record import LoopState, Past, Record, Weights
from brain_tumor.training.schedule import Position
from tests.loops import Run, parameters

IDENTITY = {"hyperparameter": {"epochs": 4, "seed": 0}, "class names": ["a", "b"]}
# With dropout, whose random numbers must go on too.
PARAMETERS = parameters(epochs=4, dropout=0.2)
EPOCH = Epoch(1, 0.1, 0.9, 1 / 3, 0.8, 1e-3, 2.5)


class _KilledError(Exception):
    """Ends a loop as a kill would: nothing is done any more."""


def _past(steps: int) -> Past:
    weights: Weights = [np.arange(6, dtype=np.float32).reshape(2, 3), np.full(1, steps, np.float32)]
    loop = LoopState([EPOCH], EPOCH, Position(steps, 0.1, 0.2, None), {"network": weights})
    fitted = Fit([EPOCH], EPOCH, "all epochs done", 7)
    return Past(12.5, [(fitted, weights)], loop, Precision("mixed_float16", why="a GPU"))


def _steps(past: Past) -> int:
    return past.loop.position.step if past.loop else -1


def _assert_same(first: Past, second: Past) -> None:
    def plain(past: Past) -> Past:
        finished: list[tuple[Fit, Weights]] = [(fitted, []) for fitted, _ in past.finished]
        return replace(past, finished=finished, loop=past.loop and replace(past.loop, arrays={}))

    assert plain(first) == plain(second)
    assert first.loop
    assert second.loop
    groups = [
        (first.loop.arrays["network"], second.loop.arrays["network"]),
        *((a, b) for (_, a), (_, b) in zip(first.finished, second.finished, strict=True)),
    ]
    for ours, theirs in groups:
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    Checkpoints(tmp_path, IDENTITY).write(_past(5))
    _assert_same(Checkpoints(tmp_path, IDENTITY).newest(), _past(5))
    _assert_same(unpack(pack(_past(5))), _past(5))


def test_an_empty_folder_is_a_job_that_did_nothing_yet(tmp_path: Path) -> None:
    (tmp_path / "notes.npz").write_bytes(b"of somebody else")
    assert Checkpoints(tmp_path, IDENTITY).newest() == Past()


def test_the_last_two_are_kept_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.npz").write_bytes(b"of somebody else")
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    for steps in (5, 10, 15, 20):
        checkpoints.write(_past(steps))
    names = sorted(path.name for path in tmp_path.iterdir())
    # Seven steps of a loop that is over, and those of the one under way.
    assert names == ["brain-tumor-000000022.npz", "brain-tumor-000000027.npz", "notes.npz"]


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    place = data.index(b"\x93NUMPY") + 200
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flip, lambda _: b""], ids=["cut", "flipped", "empty"])
def test_a_damaged_newest_one_is_skipped_with_a_warning_and_makes_way(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    for steps in (5, 10):
        checkpoints.write(_past(steps))
    newest = max(tmp_path.iterdir())
    newest.write_bytes(damage(newest.read_bytes()))
    again = Checkpoints(tmp_path, IDENTITY)
    with caplog.at_level(logging.WARNING):
        _assert_same(again.newest(), _past(5))
    assert f"{newest} is damaged" in caplog.text
    # Two good ones are kept, so the damaged one is not one of them.
    again.write(_past(12))
    assert [_steps(_read(path)) for path in sorted(tmp_path.iterdir())] == [5, 12]


def _read(file: Path) -> Past:
    folder = file.parent / "alone"
    folder.mkdir(exist_ok=True)
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    past = Checkpoints(folder, IDENTITY).newest()
    copy.unlink()
    folder.rmdir()
    return past


def test_any_flipped_bit_is_found_or_harmless(tmp_path: Path) -> None:
    Checkpoints(tmp_path, IDENTITY).write(_past(5))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    found = 0
    for place in random.integers(0, len(whole), 200):
        file.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << random.integers(8)]) + whole[place + 1 :]
        )
        past = Checkpoints(tmp_path, IDENTITY).newest()
        if past == Past():
            found += 1
        else:
            _assert_same(past, _past(5))
    assert found > 100


def test_when_all_are_damaged_training_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "brain-tumor-000000005.npz").write_bytes(b"PK")
    assert Checkpoints(tmp_path, IDENTITY).newest() == Past()


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".incomplete-1.npz").write_bytes(b"half")
    Checkpoints(tmp_path, IDENTITY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"hyperparameter": {"epochs": 9, "seed": 0}}, "hyperparameter epochs is 4 there and 9"),
        ({"class names": ["a", "c"]}, "class names is ['a', 'b'] there and ['a', 'c'] here"),
        ({"scans": {"of train": "0" * 64}}, "scans of train is None there and 000000000000… here"),
    ],
)
def test_one_of_another_job_is_refused_by_name_and_left_there(
    tmp_path: Path, other: dict[str, object], sentence: str
) -> None:
    Checkpoints(tmp_path, IDENTITY).write(_past(5))
    (file,) = tmp_path.iterdir()
    with pytest.raises(CheckpointError) as refused:
        Checkpoints(tmp_path, {**IDENTITY, **other}).newest()
    assert str(file) in str(refused.value)
    assert sentence in str(refused.value)
    assert "CheckpointConfig.S3Uri" in str(refused.value)
    assert file.exists()


def test_one_of_another_format_is_refused(tmp_path: Path) -> None:
    document = np.frombuffer(json.dumps({"format": 99}).encode(), np.uint8)
    np.savez(tmp_path / "brain-tumor-000000001.npz", document=document)
    with pytest.raises(CheckpointError, match="has format 99; this version reads 2"):
        Checkpoints(tmp_path, IDENTITY).newest()


def test_a_full_disk_leaves_the_former_ones_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, IDENTITY)
    checkpoints.write(_past(5))

    def fill(_stream: object, **_arrays: object) -> None:
        with Path("/dev/full").open("wb") as full:
            full.write(b"x" * 10_000)

    monkeypatch.setattr(np, "savez", fill)
    with pytest.raises(DiskFullError, match="No space left on device"):
        checkpoints.write(_past(10))
    (file,) = tmp_path.iterdir()
    assert _steps(_read(file)) == 5


def _killed_after(run: Run, steps: int) -> None:
    """Run a loop and kill it once it has taken so many steps."""

    def kill(_run: Run) -> bool:
        if run.steps == steps:
            raise _KilledError
        return False

    run.stop_asked = kill
    with pytest.raises(_KilledError):
        run()


@pytest.fixture
def folder(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, IDENTITY)


def _going_on(folder: Checkpoints) -> Run:
    return Run(PARAMETERS, record=Record(folder.newest(), folder.write))


def test_a_loop_that_is_killed_in_an_epoch_ends_with_the_same_bits(folder: Checkpoints) -> None:
    undisturbed = Run(PARAMETERS)
    wanted = undisturbed()
    for steps, epochs in ((3, [1]), (7, [1]), (12, [2]), (18, [3])):
        run = _going_on(folder)
        first = [epoch.epoch for epoch in (run.record._loop.epochs if run.record._loop else [])]
        assert first == list(range(1, epochs[0]))
        _killed_after(run, steps)
    last = _going_on(folder)
    fitted = last()
    assert [epoch.epoch for epoch in last.reported] == [4]
    assert [replace(epoch, seconds=0) for epoch in fitted.epochs] == [
        replace(epoch, seconds=0) for epoch in wanted.epochs
    ]
    assert fitted.steps == wanted.steps == 20
    for name, arrays in undisturbed.trainer.state().items():
        for one, other in zip(arrays, last.trainer.state()[name], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


@pytest.mark.parametrize("after", [7, 10])
def test_a_loop_that_was_stopped_in_an_epoch_can_go_on_from_that_very_step(
    folder: Checkpoints, after: int
) -> None:
    undisturbed = Run(PARAMETERS)
    wanted = undisturbed()
    stopped = _going_on(folder)
    stopped.stop_asked = lambda run: run.steps >= after
    assert stopped().ended == "asked to stop"
    last = _going_on(folder)
    fitted = last()
    assert [epoch.epoch for epoch in last.reported] == [2, 3, 4]
    assert [replace(epoch, seconds=0) for epoch in fitted.epochs] == [
        replace(epoch, seconds=0) for epoch in wanted.epochs
    ]
    for one, other in zip(
        undisturbed.trainer.averaged.get_weights(), last.trainer.averaged.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_loop_that_was_over_takes_no_step_more(folder: Checkpoints) -> None:
    first = _going_on(folder)
    wanted = first()
    again = _going_on(folder)
    fitted = again()
    assert again.reported == []
    assert fitted == wanted
    for one, other in zip(
        first.trainer.averaged.get_weights(), again.trainer.averaged.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_time_of_former_runs_counts() -> None:
    past = Past(seconds=500.0)
    record = Record(past)
    assert 500 <= record.clock() < 510
    run = Run(PARAMETERS, seconds=400, record=record)
    assert run().ended == "all epochs done"
    assert record.clock() > 500
