"""The data set report: what is in an archive, what is wrong with it and how it was split."""

import logging
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, Field

from brain_tumor.data.duplicates import duplicate_groups, is_conflict, near_groups
from brain_tumor.data.evidence import Leak, Shown, choose_pairs, find_leaks
from brain_tumor.data.shortcuts import Shortcuts, measure_shortcuts
from brain_tumor.data.table import Damaged, ScanTable
from brain_tumor.pages import templates_of

log = logging.getLogger(__name__)

_EDITIONS = {
    (5712, 1311): "first edition of the Brain Tumor MRI Dataset (5,712 Training, 1,311 Testing)",
    (5600, 1600): "second edition of the Brain Tumor MRI Dataset, of 2026 (5,600 Training, 1,600 "
    "Testing), on which this program is untested; its figures and those of the first edition "
    "cannot be compared",
}


class Conflict(BaseModel):
    """One picture, or one near-duplicate group, that stands in several classes."""

    files: list[str]
    classes: list[str]


class DatasetReport(BaseModel):
    """What `dataset_report.json` holds; file names are paths inside the archive."""

    files: int
    distinct: int
    """Pictures that remain when duplicates are counted once."""
    edition: str | None
    """Which edition of the public data set this is, by its counts; None for any other."""
    classes: dict[str, int]
    distinct_by_class: dict[str, int]
    damaged: list[Damaged]
    duplicate_groups: list[list[str]]
    near_groups: list[list[str]]
    conflicts: list[Conflict]
    near_conflicts: list[Conflict]
    """Near-duplicate groups of several classes; no fault in itself, and kept."""
    leaks: list[Leak]
    shortcuts: Shortcuts
    splits: dict[str, list[str]]
    shown: list[Shown] = Field(default_factory=list, exclude=True)


def describe(table: ScanTable, splits: dict[str, list[str]]) -> DatasetReport:
    """Describe a table of scans and the sides they were put on."""
    groups, near = duplicate_groups(table), near_groups(table)
    files, labels = table.files, table.labels
    row_of = {file: row for row, file in enumerate(files)}
    leaks = find_leaks(table, {side: [row_of[f] for f in names] for side, names in splits.items()})
    side_of = {file: side for side, names in splits.items() for file in names}
    distinct = Counter(label for group in groups for label in {labels[row] for row in group})
    conflicts = [_conflict(table, group) for group in groups if is_conflict(table, group)]
    same_picture = {tuple(conflict.files) for conflict in conflicts}
    of_several = [_conflict(table, group) for group in near if is_conflict(table, group)]
    return DatasetReport(
        files=len(table) + len(table.damaged),
        distinct=len(groups),
        edition=_edition(table),
        classes={label: labels.count(label) for label in sorted(set(labels))},
        distinct_by_class={label: distinct[label] for label in sorted(distinct)},
        damaged=table.damaged,
        duplicate_groups=[[files[row] for row in group] for group in groups if group[1:]],
        near_groups=[
            [files[row] for row in group]
            for group in near
            if len({int(table.pictures[row]) for row in group}) > 1
        ],
        conflicts=conflicts,
        near_conflicts=[found for found in of_several if tuple(found.files) not in same_picture],
        leaks=leaks,
        shortcuts=measure_shortcuts(table),
        splits=splits,
        shown=choose_pairs(table, leaks, side_of),
    )


def log_findings(report: DatasetReport) -> None:
    """Warn of leaks, conflicts and shortcuts."""
    for side in ("val", "test"):
        leaks = [leak for leak in report.leaks if leak.side == side]
        if leaks:
            poses = Counter(leak.pose for leak in leaks)
            log.warning(
                "LEAK: %d of the %d %s files show a picture that also stands %s (%s). An accuracy "
                "on them is too high: it measures memory.",
                len(leaks),
                len(report.splits[side]),
                side,
                "in train" if side == "val" else "in train or val",
                ", ".join(f"{count} {pose}" for pose, count in poses.most_common()),
            )
    if report.conflicts:
        log.warning("%d pictures stand in several classes", len(report.conflicts))
    for name in report.shortcuts.clear:
        log.warning(
            "SHORTCUT: the %s alone tells the class of %.0f %% of the files (the largest class is "
            "%.0f %%); a network must not see it",
            name,
            100 * report.shortcuts.cues[name].accuracy,
            100 * report.shortcuts.majority,
        )


def write_report(report: DatasetReport, folder: Path, title: str) -> None:
    """Write `dataset_report.json` and `dataset_report.html` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_report.json").write_text(report.model_dump_json(indent=2) + "\n")
    template = templates_of("brain_tumor.data").get_template("dataset_report.html")
    page = template.render(report=report, title=title)
    (folder / "dataset_report.html").write_text(page)


def _conflict(table: ScanTable, group: list[int]) -> Conflict:
    return Conflict(
        files=[table.files[row] for row in group],
        classes=sorted({table.scans[row].label for row in group}),
    )


def _edition(table: ScanTable) -> str | None:
    counts = Counter(scan.side for scan in table.scans)
    return _EDITIONS.get((counts["train"], counts["test"]))
