"""The data set report: what is in an archive, what is wrong with it and how it was split."""

from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel, Field

from brain_tumor.data.duplicates import duplicate_groups, is_conflict
from brain_tumor.data.scans import Damaged, ScanTable


class Conflict(BaseModel):
    """One picture that stands in several classes."""

    files: list[str]
    classes: list[str]


class DatasetReport(BaseModel):
    """What `dataset_report.json` holds; file names are paths inside the archive."""

    files: int
    distinct: int
    """Pictures that remain when duplicates are counted once."""
    classes: dict[str, int]
    damaged: list[Damaged]
    duplicate_groups: list[list[str]]
    near_groups: list[list[str]] = Field(default_factory=list)
    conflicts: list[Conflict]
    leaks: list[dict[str, Any]] = Field(default_factory=list)
    shortcuts: dict[str, Any] = Field(default_factory=dict)
    splits: dict[str, list[str]] = Field(default_factory=dict)


def describe(table: ScanTable, splits: dict[str, list[str]]) -> DatasetReport:
    """Describe a table of scans and the sides they were put on."""
    groups = duplicate_groups(table)
    labels = table.labels
    return DatasetReport(
        files=len(table) + len(table.damaged),
        distinct=len(groups),
        classes={label: labels.count(label) for label in sorted(set(labels))},
        damaged=table.damaged,
        duplicate_groups=[[table.files[row] for row in group] for group in groups if group[1:]],
        conflicts=[
            Conflict(
                files=[table.files[row] for row in group],
                classes=sorted({labels[row] for row in group}),
            )
            for group in groups
            if is_conflict(table, group)
        ],
        splits=splits,
    )


def write_report(report: DatasetReport, folder: Path, title: str) -> None:
    """Write `dataset_report.json` and `dataset_report.html` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_report.json").write_text(report.model_dump_json(indent=2) + "\n")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("brain_tumor.data", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("dataset_report.html").render(report=report, title=title)
    (folder / "dataset_report.html").write_text(page)
