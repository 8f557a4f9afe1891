"""`brain-tumor prepare` and `check`: an archive in, three zips and a report out."""

import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from brain_tumor.data.archive import Archive, Side
from brain_tumor.data.duplicates import duplicate_groups, is_conflict
from brain_tumor.data.report import DatasetReport, describe, write_report
from brain_tumor.data.scans import ScanTable, read_scans, require_every_class
from brain_tumor.data.split import split_groups
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
) -> DatasetReport:
    """Split an archive into zips of class folders, none of whose pictures stands on two sides.

    One file of each picture is kept; pictures with conflicting labels and damaged files are left
    out. With `official` the archive's own sides are kept as they are, duplicates and all; `val`
    is then split off the training side unless the archive has one, and `test` is not used.

    Args:
        source: zip or folder; without `official` its own sides are pooled.
        out_dir: receives the zips and the two report files, all or none of them.
        val: share of the scans for Val.zip; 0 writes none.
        test: share of the scans for Test.zip; 0 writes none.
        seed: the same seed and scans give the same zips, to the byte.
        official: keep the archive's own split.

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
            groups = [g[:1] for g in duplicate_groups(table) if not is_conflict(table, g)]
            _require_classes_without_conflicts(table, groups)
            shares: dict[Side, float] = {"train": 1 - val - test, "val": val, "test": test}
            sides = split_groups(groups, table.labels, shares, seed)
        splits: dict[str, list[str]] = {
            side: [table.files[row] for row in rows] for side, rows in sides.items()
        }
        report = describe(table, splits)
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


def _require_classes_without_conflicts(table: ScanTable, groups: Sequence[Sequence[int]]) -> None:
    left = {table.labels[group[0]] for group in groups}
    lost = sorted(set(table.labels) - left)
    if lost:
        raise DataError(
            f"Every picture of class {', '.join(lost)} stands in another class too, so none can "
            "be used. Usual cause: one class folder copied under two names."
        )


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
    groups = duplicate_groups(table)
    on_test = set(given["test"])
    leaking = sum(
        len(on_test.intersection(group)) for group in groups if not on_test.issuperset(group)
    )
    if leaking:
        log.warning(
            "LEAK: %d of the %d test files also stand, to the pixel, outside the test side. A "
            "test accuracy on this split is too high.",
            leaking,
            len(on_test),
        )
    if val and not given["val"]:
        on_train = set(given["train"])
        of_train = [kept for group in groups if (kept := [r for r in group if r in on_train])]
        shares: dict[Side, float] = {"train": 1 - val, "val": val}
        given.update(split_groups(of_train, table.labels, shares, seed))
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
