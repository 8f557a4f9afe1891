"""Which scans are the same picture: the one place that decides it.

Today two scans are duplicates when their decoded pixels are equal to the bit. Everything that
follows from duplicates (splits, leaks, conflicts) asks this module, so a wider rule goes here.
"""

from collections import defaultdict

from brain_tumor.data.scans import ScanTable


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
