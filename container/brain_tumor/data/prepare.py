"""`brain-tumor prepare` and `check`: an archive in, three zips and a report out."""

import logging
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from brain_tumor.data.archive import Archive, Side
from brain_tumor.data.duplicates import conflicting, duplicate_groups, group_rows
from brain_tumor.data.neighbours import compare
from brain_tumor.data.report import DatasetReport, describe, log_findings, write_report
from brain_tumor.data.scans import read_scans, require_every_class
from brain_tumor.data.split import split_groups
from brain_tumor.data.table import ScanTable
from brain_tumor.errors import DataError

ZIP_NAMES: dict[Side, str] = {"train": "Train.zip", "val": "Val.zip", "test": "Test.zip"}

log = logging.getLogger(__name__)


def check(source: Path, out_dir: Path | None) -> DatasetReport:
    """Report on an archive or folder; write the two report files when `out_dir` is given.

    Raises:
        DataError: the archive cannot be read.
    """
    with Archive(source) as archive:
        table = read_scans(archive)
    sides: dict[str, list[str]] = {}
    for scan in table.scans:
        if scan.side is not None:
            sides.setdefault(scan.side, []).append(scan.file)
    report = describe(table, sides)
    log_findings(report)
    if out_dir is not None:
        write_report(report, out_dir, source.name)
    return report


def prepare(
    source: Path,
    out_dir: Path,
    *,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    official: bool = False,
    duplicates: Literal["drop", "keep"] = "drop",
) -> DatasetReport:
    """Split an archive into zips of class folders; what resembles each other is on one side.

    One file of each picture is kept, a grey and upright one where there is one; pictures with
    conflicting labels and damaged files are left out. With `official` the archive's own sides are
    kept as they are, duplicates and all; `val` is then split off the training side, whole
    near-duplicate groups to one side, unless the archive has one, and `test` is not used.

    Args:
        source: zip or folder; without `official` its own sides are pooled.
        out_dir: receives the zips and the two report files, all or none of them.
        val: share of the scans for Val.zip; 0 writes none.
        test: share of the scans for Test.zip; 0 writes none.
        seed: the same seed and scans give the same zips, to the byte.
        official: keep the archive's own split.
        duplicates: "keep" keeps all files of a picture, on one side.

    Raises:
        DataError: the archive cannot be read or split.
    """
    _require_shares(val, test)
    _require_apart(source, out_dir)
    with Archive(source) as archive:
        table = read_scans(archive)
        require_every_class(archive, table)
        _require_classes(source, table)
        if official:
            sides = _official_sides(table, val, seed)
        else:
            shares: dict[Side, float] = {"train": 1 - val - test, "val": val, "test": test}
            sides = _split(table, _usable_rows(table, duplicates), shares, seed)
        splits: dict[str, list[str]] = {
            side: [table.files[row] for row in rows] for side, rows in sides.items()
        }
        report = describe(table, splits)
        log_findings(report)
        _write_all(archive, table, sides, report, out_dir)
    return report


def _require_shares(val: float, test: float) -> None:
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise DataError(
            f"--val {val} and --test {test} leave nothing to train on; each must be at least 0, "
            "and their sum below 1."
        )


def _require_apart(source: Path, out_dir: Path) -> None:
    targets = [out_dir.resolve(), *(out_dir.resolve() / name for name in ZIP_NAMES.values())]
    if source.resolve() in targets:
        raise DataError(
            f"{source} would be overwritten by what is written to {out_dir}; name another folder."
        )


def _usable_rows(table: ScanTable, duplicates: Literal["drop", "keep"]) -> list[int]:
    usable = np.flatnonzero(~conflicting(table)).tolist()
    lost = sorted(set(table.labels) - {table.labels[row] for row in usable})
    if lost:
        raise DataError(
            f"Every picture of class {', '.join(lost)} stands in another class too, so none can "
            "be used. Usual cause: one class folder copied under two names."
        )
    return usable if duplicates == "keep" else sorted(set(usable).intersection(_best_rows(table)))


def _best_rows(table: ScanTable) -> list[int]:
    """Choose a row of each picture: grey before colour, then the pose that most copies have."""
    groups = duplicate_groups(table)
    first = np.array([group[0] for group in groups for _ in group], np.intp)
    rows = np.array([row for group in groups for row in group], np.intp)
    poses = compare(table.thumbnails, rows, first).pose.tolist()
    pose = dict(zip(rows.tolist(), poses, strict=True))
    grey = (table.cues["mode"] == b"L").tolist()
    best = []
    for group in groups:
        common = Counter(pose[row] for row in group)
        best.append(min(group, key=lambda r: (not grey[r], -common[pose[r]], r)))
    return best


def _split(
    table: ScanTable, rows: Sequence[int], shares: Mapping[Side, float], seed: int
) -> dict[Side, list[int]]:
    """Deal out rows, whole near-duplicate groups to one side."""
    groups = [[rows[place] for place in group] for group in group_rows(table.groups[list(rows)])]
    return split_groups(groups, table.labels, shares, seed)


def _require_classes(source: Path, table: ScanTable) -> None:
    classes = sorted(set(table.labels))
    if len(classes) < 2:
        raise DataError(
            f"{source} holds one class only, {classes[0]!r}; a classifier needs at least two. "
            "Usual cause: the path points into a class folder's parent that holds one class, or a "
            "zip was made of one class."
        )


def _official_sides(table: ScanTable, val: float, seed: int) -> dict[Side, list[int]]:
    given: dict[Side, list[int]] = {"train": [], "val": [], "test": []}
    for row, scan in enumerate(table.scans):
        if scan.side is not None:
            given[scan.side].append(row)
    if not given["train"] or not given["test"]:
        raise DataError(
            "--official needs an archive with the folders Training (or Train) and Testing (or "
            f"Test) on top; this one has {len(given['train'])} scans in the one and "
            f"{len(given['test'])} in the other. Leave --official out to make a split."
        )
    if val and not given["val"]:
        given.update(_split(table, given["train"], {"train": 1 - val, "val": val}, seed))
    return given


def _write_all(
    archive: Archive,
    table: ScanTable,
    sides: Mapping[Side, Sequence[int]],
    report: DatasetReport,
    out_dir: Path,
) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    # Written beside the target, so that the move is within one file system.
    with TemporaryDirectory(dir=out_dir, prefix=".incomplete-") as name:
        aside = Path(name)
        for side, rows in sides.items():
            if rows:
                _write_zip(archive, table, rows, aside / ZIP_NAMES[side])
        write_report(report, aside, archive.path.name)
        for stale in ZIP_NAMES.values():
            (out_dir / stale).unlink(missing_ok=True)
        for file in sorted(aside.iterdir()):
            file.replace(out_dir / file.name)


def _write_zip(archive: Archive, table: ScanTable, rows: Sequence[int], path: Path) -> None:
    taken: set[str] = set()
    # Scans are compressed already.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for row in rows:
            scan = table.scans[row]
            name = f"{scan.label}/{PurePosixPath(scan.file).name}"
            if name in taken:
                name = f"{scan.label}/{scan.file.replace('/', '-')}"
            # a-b/1.jpg and a/b-1.jpg are one name by then.
            while name in taken:
                name = name.replace("/", "/-")
            taken.add(name)
            info = zipfile.ZipInfo(name)  # of 1980: the same scans give the same bytes
            info.external_attr = 0o644 << 16
            target.writestr(info, archive.read(scan))
