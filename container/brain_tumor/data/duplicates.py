"""Which scans are the same picture, and which resemble each other: the one place that decides it.

The thresholds are distances 1 - NCC of 56x56 thumbnails, measured on the public data set
(docs/data.md). Everything that follows from them (splits, leaks, conflicts) asks this module.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brain_tumor.data.neighbours import Pairs, find_pairs
from brain_tumor.data.pair_cache import FindPairs
from brain_tumor.data.table import ScanTable

SAME = 0.015
"""Largest distance of copies of one picture. The public set's leaking copies lie below 0.002 and
their number stays the same up to 0.015; scaled and re-contrasted copies need the room."""

NEAR = 0.07
"""Largest distance of near-duplicates, mostly neighbouring slices of one patient. Up to here
groups stay small; from 0.08 on scans of many patients chain together."""

_Numbers = NDArray[np.int32]


def find_duplicates(table: ScanTable, search: FindPairs = find_pairs) -> ScanTable:
    """Number the pictures and near-duplicate groups of a table, and keep the evidence.

    Args:
        table: the scans.
        search: finds the pairs that resemble each other.
    """
    _, first, alike = np.unique(table.digests, return_index=True, return_inverse=True)
    # Of files equal to the bit one is searched for: a set of many copies costs no more.
    found = search(table.thumbnails.rows(first), NEAR)
    pairs = replace(
        found,
        first=first[found.first].astype(np.int32),
        second=first[found.second].astype(np.int32),
    )
    return replace(
        table,
        pictures=_connected(found.where(found.distance <= SAME), len(first))[alike],
        groups=_connected(found, len(first))[alike],
        pairs=pairs,
    )


def duplicate_groups(table: ScanTable) -> list[list[int]]:
    """Group the rows of a table by picture: every row is in exactly one group.

    Groups and the rows in them are in the order of the table.
    """
    return group_rows(table.pictures)


def near_groups(table: ScanTable) -> list[list[int]]:
    """Group the rows of a table by near-duplicate group, in the order of the table."""
    return group_rows(table.groups)


def group_rows(numbers: _Numbers) -> list[list[int]]:
    """List the rows that have one number, for every number, in the order of the rows."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, number in enumerate(numbers.tolist()):
        groups[number].append(row)
    return list(groups.values())


def is_conflict(table: ScanTable, group: Sequence[int]) -> bool:
    """Tell whether a group of rows stands in several classes."""
    return len({table.scans[row].label for row in group}) > 1


def conflicting(table: ScanTable) -> NDArray[np.bool_]:
    """Tell of each row whether its picture stands in several classes: (n,)."""
    conflict = np.zeros(len(table), bool)
    for group in duplicate_groups(table):
        conflict[group] = is_conflict(table, group)
    return conflict


def _connected(pairs: Pairs, count: int) -> _Numbers:
    links = coo_array((np.ones(len(pairs), bool), (pairs.first, pairs.second)), (count, count))
    numbers: _Numbers = connected_components(links, directed=False)[1]
    return numbers.astype(np.int32)
