"""Which scans are the same picture: the one place that decides it.

Today two scans are duplicates when their decoded pixels are equal to the bit. Everything that
follows from duplicates (splits, leaks, conflicts) asks this module, so a wider rule goes here.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from brain_tumor.data.scans import ScanTable

_Key = TypeVar("_Key", bound=Hashable)


def duplicate_groups(table: ScanTable) -> list[list[int]]:
    """Group the rows of a table by picture: every row is in exactly one group.

    Groups and the rows in them are in the order of the table.
    """
    by_picture: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(table.digests):
        by_picture[digest].append(row)
    return list(by_picture.values())


def is_conflict(table: ScanTable, group: list[int]) -> bool:
    """Tell whether one picture stands in several classes."""
    return len({table.scans[row].label for row in group}) > 1


def group_together(tables: Mapping[_Key, ScanTable]) -> dict[_Key, ScanTable]:
    """Number the pictures and groups of several tables anew, as if they were one."""
    digests = [digest for table in tables.values() for digest in table.digests]
    numbers = np.unique(digests, return_inverse=True)[1].astype(np.int32)
    ends = np.cumsum([len(table) for table in tables.values()])
    parts = np.split(numbers, ends[:-1])
    return {
        key: replace(table, pictures=part, groups=part)
        for (key, table), part in zip(tables.items(), parts, strict=True)
    }
