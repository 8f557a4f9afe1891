"""Splits that keep a group of scans on one side and every class in proportion."""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from brain_tumor.data.archive import Side
from brain_tumor.errors import DataError


def split_groups(
    groups: Sequence[Sequence[int]],
    labels: Sequence[str],
    shares: Mapping[Side, float],
    seed: int,
) -> dict[Side, list[int]]:
    """Deal groups of rows out to sides, class by class.

    Within a class the groups are shuffled, then dealt out, the largest first, so that every side
    has each class, and each size of group, in proportion, to within one group.

    Args:
        groups: rows that must stay together; a group counts for the class that most of its
            rows have.
        labels: the class name of every row.
        shares: side -> share of the rows; a share of 0 gives an empty side.
        seed: the same seed and groups give the same split.

    Returns:
        side -> its rows, ascending.

    Raises:
        DataError: a class has fewer groups than there are sides to fill.
    """
    wanted = {side: share for side, share in shares.items() if share > 0}
    by_class: dict[str, list[Sequence[int]]] = defaultdict(list)
    for group in groups:
        by_class[_class_of(group, labels)].append(group)
    sides: dict[Side, list[int]] = {side: [] for side in shares}
    for label, members in sorted(by_class.items()):
        if len(members) < len(wanted):
            raise DataError(
                f"Class {label!r} has {len(members)} distinct scans; at least {len(wanted)} are "
                f"needed to put one on each side ({', '.join(map(str, wanted))}). Scans that "
                "resemble each other count as one, since they must stay on one side."
            )
        for side, rows in _deal(members, wanted, random.Random(f"{seed}/{label}")).items():  # noqa: S311 - a shuffle, no secret
            sides[side].extend(rows)
    return {side: sorted(rows) for side, rows in sides.items()}


def _class_of(group: Sequence[int], labels: Sequence[str]) -> str:
    return Counter(labels[row] for row in group).most_common(1)[0][0]


def _deal(
    groups: list[Sequence[int]], shares: Mapping[Side, float], rng: random.Random
) -> dict[Side, list[int]]:
    rng.shuffle(groups)
    # The largest first: small groups can still even out what a large one upset.
    groups.sort(key=len, reverse=True)
    total = sum(map(len, groups))
    dealt: dict[Side, list[int]] = {side: [] for side in shares}
    for left, group in zip(range(len(groups), 0, -1), groups, strict=True):
        empty = [side for side in shares if not dealt[side]]
        open_ = [side for side in shares if len(dealt[side]) < shares[side] * total]
        # No side may end up without this class, however small its share.
        side = _neediest(empty if len(empty) == left else open_, dealt, shares, len(group))
        dealt[side].extend(group)
    return dealt


def _neediest(
    sides: Sequence[Side],
    dealt: Mapping[Side, Sequence[int]],
    shares: Mapping[Side, float],
    more: int,
) -> Side:
    """Choose the side that lags behind most, in parts of its share (Webster's method).

    By what it lacks in scans, the largest side would get all the series of slices, and the others
    only scans that resemble nothing.
    """
    return min(sides, key=lambda side: (len(dealt[side]) + more / 2) / shares[side])
