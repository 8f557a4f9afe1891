"""Leaks, and the pairs of pictures that people are shown as evidence."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pydantic import BaseModel

from brain_tumor.data.duplicates import SAME, duplicate_groups, is_conflict
from brain_tumor.data.neighbours import POSES, compare
from brain_tumor.data.table import ScanTable
from brain_tumor.pages import pixels_uri

_EACH_KIND = 12


class Leak(BaseModel):
    """A file of the test or validation side whose picture also stands on an earlier side."""

    file: str
    side: str
    matches: list[str]
    """Files of the training side (for a test file, of the validation side too), nearest first."""
    pose: str
    """What the first match has to undergo to show `file`."""
    distance: float
    """1 - NCC of `file` and the first match."""


class Shown(BaseModel):
    """Two pictures side by side in the page; not in the JSON."""

    kind: str
    files: tuple[str, str]
    places: tuple[str, str]
    """Class and, where there is one, side."""
    pictures: tuple[str, str]
    """data: URIs."""
    pose: str
    distance: float


def find_leaks(table: ScanTable, sides: Mapping[str, Sequence[int]]) -> list[Leak]:
    """List the rows of val that show a picture of train, and those of test one of train or val."""
    leaks = []
    files = table.files
    for side, earlier in (("val", ("train",)), ("test", ("train", "val"))):
        known = _rows_by_picture(table, [row for name in earlier for row in sides.get(name, ())])
        here = [row for row in sides.get(side, ()) if int(table.pictures[row]) in known]
        first = [row for row in here for _ in known[int(table.pictures[row])]]
        second = [match for row in here for match in known[int(table.pictures[row])]]
        found = compare(table.thumbnails, np.array(first, np.intp), np.array(second, np.intp))
        start = 0
        for row in here:
            end = start + len(known[int(table.pictures[row])])
            order = start + np.argsort(found.distance[start:end], kind="stable")
            leaks.append(
                Leak(
                    file=files[row],
                    side=side,
                    matches=[files[second[place]] for place in order],
                    pose=POSES[found.pose[order[0]]],
                    distance=round(float(found.distance[order[0]]), 6),
                )
            )
            start = end
    return leaks


def choose_pairs(table: ScanTable, leaks: Sequence[Leak], sides: Mapping[str, str]) -> list[Shown]:
    """Choose some dozen of the worst pairs: leaks, conflicts, copies in other poses, near ones.

    Args:
        table: all scans.
        leaks: what `find_leaks` gave.
        sides: file -> its side.
    """
    chosen = [
        *_spread("leak", _leaking_rows(table, leaks)),
        *_spread("label conflict", list(_conflicting_rows(table))),
        *_spread("copy in another pose", _found_rows(table, 1e-9, SAME, turned=True)),
        *_spread("near-duplicate", _found_rows(table, SAME, np.inf, turned=False)),
    ]
    first, second = (np.array([rows[i] for _, rows in chosen], np.intp) for i in (0, 1))
    found = compare(table.thumbnails, first, second)
    return [
        Shown(
            kind=kind,
            files=(table.files[a], table.files[b]),
            places=(_place(table, a, sides), _place(table, b, sides)),
            pictures=(pixels_uri(table.thumbnails.whole[a]), pixels_uri(table.thumbnails.whole[b])),
            pose=POSES[found.pose[i]],
            distance=float(found.distance[i]),
        )
        for i, (kind, (a, b)) in enumerate(chosen)
    ]


def _rows_by_picture(table: ScanTable, rows: Sequence[int]) -> dict[int, list[int]]:
    known: dict[int, list[int]] = {}
    for row in rows:
        known.setdefault(int(table.pictures[row]), []).append(row)
    return known


def _spread(kind: str, rows: list[tuple[int, int]]) -> list[tuple[str, tuple[int, int]]]:
    """Take pairs evenly from all of them, so that no single class fills the page."""
    places = {round(place) for place in np.linspace(0, len(rows) - 1, _EACH_KIND)} if rows else ()
    return [(kind, rows[place]) for place in sorted(places)]


def _leaking_rows(table: ScanTable, leaks: Sequence[Leak]) -> list[tuple[int, int]]:
    row_of = {file: row for row, file in enumerate(table.files)}
    return [(row_of[leak.file], row_of[leak.matches[0]]) for leak in leaks]


def _conflicting_rows(table: ScanTable) -> Iterator[tuple[int, int]]:
    for group in duplicate_groups(table):
        if is_conflict(table, group):
            label = table.scans[group[0]].label
            yield group[0], next(row for row in group if table.scans[row].label != label)


def _found_rows(
    table: ScanTable, above: float, up_to: float, *, turned: bool
) -> list[tuple[int, int]]:
    pairs = table.pairs
    kept = pairs.where(
        (pairs.distance > above)
        & (pairs.distance <= up_to)
        & ((pairs.pose > 0) | (not turned))
        & ((table.pictures[pairs.first] != table.pictures[pairs.second]) | turned)
    )
    return list(zip(kept.first.tolist(), kept.second.tolist(), strict=True))


def _place(table: ScanTable, row: int, sides: Mapping[str, str]) -> str:
    side = sides.get(table.files[row])
    return f"{table.scans[row].label}, {side}" if side else table.scans[row].label
