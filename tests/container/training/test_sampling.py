"""training.sampling: which scans an epoch shows."""

from collections import Counter

import numpy as np
import pytest

from brain_tumor.training.sampling import Sampler

Row = tuple[str, int, int]
"""Label, picture, group."""


def _sampler(rows: list[Row], seed: int = 0) -> Sampler:
    labels, pictures, groups = zip(*rows, strict=True)
    return Sampler(np.array(pictures, np.int32), np.array(groups, np.int32), labels, seed)


def _drawn(rows: list[Row], epochs: int) -> Counter[int]:
    sampler = _sampler(rows)
    return Counter(int(row) for number in range(epochs) for row in sampler.epoch(number))


def test_an_epoch_has_as_many_scans_as_there_are_distinct_pictures() -> None:
    sampler = _sampler([("a", 5, 5), ("a", 5, 5), ("b", 7, 7), ("b", 9, 9)])
    assert sampler.scans == 3
    assert sampler.epoch(0).shape == (3,)


def test_eighty_copies_of_a_picture_are_shown_in_turn_and_weigh_as_one() -> None:
    rows = [("a", 0, 0)] * 80 + [("a", 1, 1)]
    drawn = _drawn(rows, 800)
    assert drawn[80] == pytest.approx(800, rel=0.1)
    assert len(drawn) == 81
    assert max(drawn[row] for row in range(80)) < 30


def test_a_series_of_similar_slices_weighs_less_than_as_many_unlike_ones() -> None:
    # Nine slices of one group, and nine scans that resemble nothing.
    rows = [("a", n, 0) for n in range(9)] + [("a", n, n) for n in range(9, 18)]
    drawn = _drawn(rows, 300)
    series = sum(drawn[row] for row in range(9)) / drawn.total()
    # Halfway, on the scale of ratios, between one share in two and one in ten: 9/3 to 9.
    assert series == pytest.approx(1 / 4, abs=0.02)


def test_a_rare_class_is_shown_more_often_than_its_share() -> None:
    rows = [("common", n, n) for n in range(80)] + [("rare", n, n) for n in range(80, 100)]
    drawn = _drawn(rows, 200)
    rare = sum(drawn[row] for row in range(80, 100)) / drawn.total()
    # Shares of 4 to 1 become 2 to 1.
    assert rare == pytest.approx(1 / 3, abs=0.02)


def test_the_same_seed_draws_the_same_rows() -> None:
    rows = [("a", n, n) for n in range(30)]
    first, again, other = (_sampler(rows, seed).epoch(0).tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_epochs_differ_and_each_can_be_drawn_without_those_before_it() -> None:
    rows = [("a", n, n) for n in range(30)]
    sampler = _sampler(rows)
    first, second = (sampler.epoch(number).tolist() for number in (0, 1))
    assert first != second
    assert _sampler(rows).epoch(1).tolist() == second
