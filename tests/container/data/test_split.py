"""data.split: sides that share no group and have each class in proportion."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from brain_tumor.data.archive import Side
from brain_tumor.data.split import split_groups
from brain_tumor.errors import DataError

Shares = dict[Side, float]

three_sides: Shares = {"train": 0.7, "val": 0.15, "test": 0.15}
no_deadline = settings(deadline=None, max_examples=100)


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[list[list[int]], list[str]]:
    """Draw groups of rows of 1-3 classes, at least three groups a class, rows in any order."""
    sizes = draw(
        st.lists(st.lists(st.integers(1, 5), min_size=3, max_size=12), min_size=1, max_size=3)
    )
    total = sum(map(sum, sizes))
    rows = draw(st.permutations(range(total)))
    labels, groups = [""] * total, []
    for label, of_class in zip("abc", sizes, strict=False):
        for size in of_class:
            group, rows = rows[:size], rows[size:]
            groups.append(list(group))
            for row in group:
                labels[row] = label
    return draw(st.permutations(groups)), labels


@st.composite
def all_shares(draw: st.DrawFn) -> Shares:
    """Draw shares of two or three sides that sum to 1."""
    val = draw(st.floats(0.01, 0.45))
    test = draw(st.one_of(st.just(0.0), st.floats(0.01, 0.45)))
    return {"train": 1 - val - test, "val": val, "test": test}


DataSet = tuple[Sequence[Sequence[int]], Sequence[str]]


@given(data_sets(), all_shares(), st.integers(0, 3))
@no_deadline
def test_every_group_is_whole_on_one_side_and_no_row_is_lost_or_doubled(
    data: DataSet, shares: Shares, seed: int
) -> None:
    groups, labels = data
    sides = split_groups(groups, labels, shares, seed)
    assert set(sides) == set(shares)
    assert sorted(row for rows in sides.values() for row in rows) == list(range(len(labels)))
    for group in groups:
        assert [set(group) <= set(rows) for rows in sides.values()].count(True) == 1
    assert all(rows == sorted(rows) for rows in sides.values())


@given(data_sets(), all_shares(), st.integers(0, 3))
@no_deadline
def test_every_wanted_side_has_every_class_and_a_share_of_0_has_nothing(
    data: DataSet, shares: Shares, seed: int
) -> None:
    groups, labels = data
    for side, rows in split_groups(groups, labels, shares, seed).items():
        present = {labels[row] for row in rows}
        assert present == (set(labels) if shares[side] else set())


@given(data_sets(), all_shares(), st.integers(0, 3))
@no_deadline
def test_no_side_exceeds_its_share_of_a_class_by_more_than_one_group(
    data: DataSet, shares: Shares, seed: int
) -> None:
    groups, labels = data
    totals = Counter(labels)
    largest = {label: 0 for label in totals}
    for group in groups:
        largest[labels[group[0]]] = max(largest[labels[group[0]]], len(group))
    for side, rows in split_groups(groups, labels, shares, seed).items():
        for label, count in Counter(labels[row] for row in rows).items():
            assert count <= shares[side] * totals[label] + largest[label]


@given(st.integers(20, 200), all_shares(), st.integers(0, 3))
@no_deadline
def test_groups_of_one_scan_are_dealt_out_to_within_one_scan(
    count: int, shares: Shares, seed: int
) -> None:
    assume(all(share == 0 or share * count >= 1 for share in shares.values()))
    sides = split_groups([[row] for row in range(count)], ["a"] * count, shares, seed)
    for side, rows in sides.items():
        assert abs(len(rows) - shares[side] * count) <= 1


def test_every_side_gets_its_share_of_the_series_and_of_the_single_scans() -> None:
    rows = iter(range(600))
    sizes = [9] * 20 + [3] * 40 + [1] * 300
    groups = [[next(rows) for _ in range(size)] for size in sizes]
    sides = split_groups(groups, ["a"] * 600, three_sides, 0)
    for side, share in three_sides.items():
        chosen = set(sides[side])
        for size in (9, 3, 1):
            of_size = [group for group in groups if len(group) == size]
            here = sum(chosen.issuperset(group) for group in of_size)
            assert here == pytest.approx(share * len(of_size), abs=2)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    groups = [[row] for row in range(60)]
    labels = ["a"] * 30 + ["b"] * 30
    first, same, other = (split_groups(groups, labels, three_sides, seed) for seed in (1, 1, 2))
    assert first == same
    assert first != other
    assert {side: len(rows) for side, rows in first.items()} == {
        side: len(rows) for side, rows in other.items()
    }


def test_scans_of_one_class_do_not_move_when_another_class_grows() -> None:
    groups = [[row] for row in range(40)]
    before = split_groups(groups[:20], ["a"] * 20, three_sides, 0)
    after = split_groups(groups, ["a"] * 20 + ["b"] * 20, three_sides, 0)
    assert {side: [row for row in rows if row < 20] for side, rows in after.items()} == before


@pytest.mark.parametrize(("count", "shares"), [(2, three_sides), (1, {"train": 0.8, "val": 0.2})])
def test_a_class_with_fewer_groups_than_sides_is_named(count: int, shares: Shares) -> None:
    groups = [[row] for row in range(10 + count)]
    labels = ["many"] * 10 + ["few"] * count
    with pytest.raises(DataError, match=f"Class 'few' has {count} distinct scans; at least"):
        split_groups(groups, labels, shares, 0)


def test_a_large_group_of_duplicates_counts_as_one_and_stays_together() -> None:
    groups = [list(range(50)), [50], [51]]
    sides = split_groups(groups, ["a"] * 52, three_sides, 0)
    assert sides["train"] == list(range(50))
    assert len(sides["val"]) == len(sides["test"]) == 1
