"""data.pair_cache: the search for pairs remembered from job to job."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.data import neighbours, pair_cache
from brain_tumor.data.neighbours import Pairs, find_pairs
from brain_tumor.data.pair_cache import remembering
from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.thumbnails import Thumbnails
from tests.scans import head, thumbnails_of


def _thumbnails(*seeds: int) -> Thumbnails:
    return thumbnails_of([head(seed, change) for seed in seeds for change in (0, 6)])


THUMBNAILS = _thumbnails(1, 2, 3)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the numbers of scans that were really searched, one entry a search."""
    made: list[int] = []

    def find(thumbnails: Thumbnails, distance: float) -> Pairs:
        made.append(len(thumbnails))
        return find_pairs(thumbnails, distance)

    monkeypatch.setattr(pair_cache, "find_pairs", find)
    return made


def _assert_same(one: Pairs, other: Pairs) -> None:
    for name in ("first", "second", "pose", "distance"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def test_the_same_scans_are_searched_once_and_give_the_same_pairs(
    tmp_path: Path, searches: list[int]
) -> None:
    first = remembering(tmp_path / "new")(THUMBNAILS, 0.07)
    second = remembering(tmp_path / "new")(THUMBNAILS, 0.07)
    assert searches == [6]
    assert len(first) >= 3
    _assert_same(first, second)
    _assert_same(first, find_pairs(THUMBNAILS, 0.07))


def _one_pixel(thumbnails: Thumbnails) -> tuple[Thumbnails, float]:
    head_pictures = thumbnails.head[:]
    head_pictures[0, 0, 0] ^= 1
    return Thumbnails(thumbnails.whole, StoredPixels.of(head_pictures)), 0.07


@pytest.mark.parametrize(
    "change",
    [
        _one_pixel,
        lambda t: (t, 0.08),
        lambda t: (t.rows([1, 0, 2, 3, 4, 5]), 0.07),
        lambda t: (t.rows([0, 1, 2, 3, 4]), 0.07),
        lambda t: (Thumbnails(t.head, t.whole), 0.07),
    ],
)
def test_whatever_differs_is_searched_anew(
    change: Callable[[Thumbnails], tuple[Thumbnails, float]], tmp_path: Path, searches: list[int]
) -> None:
    find = remembering(tmp_path)
    find(THUMBNAILS, 0.07)
    other = change(THUMBNAILS)
    _assert_same(find(*other), find_pairs(*other))
    assert len(searches) == 2


def test_another_version_of_the_search_finds_nothing_of_the_former(
    tmp_path: Path, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    remembering(tmp_path)(THUMBNAILS, 0.07)
    changed = tmp_path / "neighbours.py"
    changed.write_text("# other code")
    monkeypatch.setattr(neighbours, "__file__", str(changed))
    remembering(tmp_path)(THUMBNAILS, 0.07)
    assert len(searches) == 2


def _write(name: str, values: Any) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        with np.load(file) as stored:
            arrays: dict[str, Any] = {key: stored[key] for key in stored.files}
        with file.open("wb") as out:
            np.savez(out, **{**arrays, name: values})

    return damage


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2 - 20] ^= 0xFF
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-40]),
        lambda file: file.write_bytes(b"junk"),
        _flip,
        _write("first", np.array([0, 1], np.int32)),
        _write("second", np.full(3, 6, np.int32)),
        _write("pose", np.full(3, 8, np.int8)),
        _write("distance", np.zeros(3)),
        _write("first", np.array([None, {}, 1], object)),
    ],
)
def test_a_damaged_result_is_named_searched_anew_and_replaced(
    damage: Callable[[Path], object],
    tmp_path: Path,
    searches: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    find = remembering(tmp_path)
    wanted = find(THUMBNAILS, 0.07)
    assert len(wanted) == 3
    (file,) = (tmp_path / "brain-tumor").iterdir()
    damage(file)
    _assert_same(find(THUMBNAILS, 0.07), wanted)
    assert f"{file} is not used" in caplog.text
    _assert_same(find(THUMBNAILS, 0.07), wanted)
    assert len(searches) == 2


def test_a_folder_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    pairs = remembering(tmp_path / "file" / "cache")(THUMBNAILS, 0.07)
    _assert_same(pairs, find_pairs(THUMBNAILS, 0.07))
    assert "Nothing is kept in the warm-pool cache" in caplog.text


def test_the_results_used_longest_ago_go_when_there_are_too_many(
    tmp_path: Path, searches: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    find, kept = remembering(tmp_path), tmp_path / "brain-tumor"
    sets = [_thumbnails(seed) for seed in (1, 2, 3)]
    for age, thumbnails in enumerate(sets[:2]):
        find(thumbnails, 0.07)
        for file in kept.iterdir():
            os.utime(file, (file.stat().st_mtime - 100 * (age + 1),) * 2)
    find(sets[0], 0.07)
    size = next(kept.iterdir()).stat().st_size
    monkeypatch.setattr(pair_cache, "MOST_BYTES", 2 * size + 10)
    find(sets[2], 0.07)
    assert len(list(kept.iterdir())) == 2
    find(sets[0], 0.07)
    assert len(searches) == 3
    find(sets[1], 0.07)
    assert len(searches) == 4
