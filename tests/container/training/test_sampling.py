"""training.sampling: which scans an epoch shows."""

from collections import Counter

import numpy as np
import pytest

from brain_tumor.data.archive import Scan
from brain_tumor.data.scans import ScanTable
from brain_tumor.training.sampling import Sampler


def _table(rows: list[tuple[str, int, int]]) -> ScanTable:
    """Make a table of (label, picture, group) rows."""
    return ScanTable(
        scans=[Scan(f"{n}.png", label, None) for n, (label, _, _) in enumerate(rows)],
        digests=[],
        pixels=np.zeros((len(rows), 1, 1), np.uint8),
        damaged=[],
        pictures=np.array([picture for _, picture, _ in rows], np.int32),
        groups=np.array([group for _, _, group in rows], np.int32),
    )


def _drawn(table: ScanTable, epochs: int) -> Counter[int]:
    sampler = Sampler(table, seed=0)
    return Counter(int(row) for _ in range(epochs) for row in sampler.epoch())


def test_an_epoch_has_as_many_scans_as_there_are_distinct_pictures() -> None:
    sampler = Sampler(_table([("a", 5, 5), ("a", 5, 5), ("b", 7, 7), ("b", 9, 9)]), seed=0)
    assert sampler.scans == 3
    assert sampler.epoch().shape == (3,)


def test_eighty_copies_of_a_picture_are_shown_in_turn_and_weigh_as_one() -> None:
    table = _table([("a", 0, 0)] * 80 + [("a", 1, 1)])
    drawn = _drawn(table, 400)
    assert drawn[80] == pytest.approx(400, rel=0.1)
    assert len(drawn) == 81
    assert max(drawn[row] for row in range(80)) < 20


def test_a_series_of_similar_slices_weighs_less_than_as_many_unlike_ones() -> None:
    # Nine slices of one group, and nine scans that resemble nothing.
    table = _table([("a", n, 0) for n in range(9)] + [("a", n, n) for n in range(9, 18)])
    drawn = _drawn(table, 300)
    series = sum(drawn[row] for row in range(9)) / drawn.total()
    # Halfway, on the scale of ratios, between one share in two and one in ten: 9/3 to 9.
    assert series == pytest.approx(1 / 4, abs=0.02)


def test_a_rare_class_is_shown_more_often_than_its_share() -> None:
    table = _table([("common", n, n) for n in range(80)] + [("rare", n, n) for n in range(80, 100)])
    drawn = _drawn(table, 200)
    rare = sum(drawn[row] for row in range(80, 100)) / drawn.total()
    # Shares of 4 to 1 become 2 to 1.
    assert rare == pytest.approx(1 / 3, abs=0.02)


def test_the_same_seed_draws_the_same_rows() -> None:
    table = _table([("a", n, n) for n in range(30)])
    first, again, other = (Sampler(table, seed).epoch().tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
