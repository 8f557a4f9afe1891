"""data.report: dataset_report.json and dataset_report.html."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from brain_tumor.data.archive import Archive, Scan, Side
from brain_tumor.data.report import DatasetReport, describe, log_findings, write_report
from brain_tumor.data.scans import read_scans
from brain_tumor.data.table import join
from tests.scans import encode, noise, png, write_folder

# Every key is promised to users, in this spelling.
KEYS = {
    "files",
    "distinct",
    "distinct_by_class",
    "edition",
    "classes",
    "damaged",
    "duplicate_groups",
    "near_groups",
    "conflicts",
    "near_conflicts",
    "leaks",
    "shortcuts",
    "splits",
}


@pytest.fixture
def report(tmp_path: Path) -> DatasetReport:
    """Give the report of seven files: a duplicate, a conflict, and a damaged one."""
    members = {
        "a/1.png": png(1),
        "a/2.png": png(1),
        "a/3.png": png(2),
        "a/4.png": b"no image",
        "b/1.png": png(3),
        "b/2.png": png(2),
        "b/<b>&.png": png(4),
    }
    with Archive(write_folder(tmp_path / "scans", members)) as archive:
        return describe(read_scans(archive), {"train": ["a/1.png"], "val": []})


def test_the_report_counts_files_pictures_and_classes(report: DatasetReport) -> None:
    assert (report.files, report.distinct) == (7, 4)
    assert report.classes == {"a": 3, "b": 3}
    assert sum(report.classes.values()) + len(report.damaged) == report.files


def test_the_report_names_what_is_wrong_file_by_file(report: DatasetReport) -> None:
    assert [(entry.file, "no image" in entry.reason) for entry in report.damaged] == [
        ("a/4.png", True)
    ]
    assert report.duplicate_groups == [["a/1.png", "a/2.png"], ["a/3.png", "b/2.png"]]
    assert [conflict.model_dump() for conflict in report.conflicts] == [
        {"files": ["a/3.png", "b/2.png"], "classes": ["a", "b"]}
    ]


def test_the_json_has_the_promised_keys_and_the_reports_content(
    report: DatasetReport, tmp_path: Path
) -> None:
    write_report(report, tmp_path / "made" / "here", "scans.zip")
    written = json.loads((tmp_path / "made" / "here" / "dataset_report.json").read_text())
    assert set(written) == KEYS
    assert DatasetReport.model_validate(written).model_dump() == report.model_dump()
    assert set(written["damaged"][0]) == {"file", "reason"}
    assert (written["near_groups"], written["leaks"]) == ([], [])
    assert set(written["shortcuts"]) == {"majority", "cues", "clear", "nearest_neighbour"}


def test_the_page_names_every_finding_and_shows_odd_names_as_text(
    report: DatasetReport, tmp_path: Path
) -> None:
    write_report(report, tmp_path, "<script>alert(1)</script>")
    page = (tmp_path / "dataset_report.html").read_text()
    assert "7 files, 4 distinct pictures, 1 damaged" in page
    for file in ("a/1.png", "a/2.png", "a/3.png", "a/4.png", "b/2.png"):
        assert f"<code>{file}</code>" in page
    assert "<script>" not in page


def test_a_clean_data_set_is_reported_as_such(tmp_path: Path) -> None:
    members = {"a/1.png": png(1), "b/<b>&.png": png(2), "b/1.png": b"<i>"}
    with Archive(write_folder(tmp_path / "scans", members)) as archive:
        table = read_scans(archive)
    write_report(describe(table, {}), tmp_path / "one", "scans")
    page = (tmp_path / "one" / "dataset_report.html").read_text()
    # Conflicts, duplicates, near-duplicates, and those of several classes.
    assert page.count("None.") == 4
    assert "Leak" not in page
    assert "<i>" not in page


def test_a_leak_stands_on_top_of_the_page_and_in_the_json_with_pose_and_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = {
        "Training/a/1.png": png(1),
        "Training/b/2.png": png(2),
        "Testing/a/3.png": encode(noise(1)[:, ::-1], "PNG"),
        "Testing/b/4.png": png(4),
    }
    with Archive(write_folder(tmp_path / "scans", members)) as archive:
        table = read_scans(archive)
    splits = {
        name: [scan.file for scan in table.scans if scan.side == name] for name in ("train", "test")
    }
    report = describe(table, splits)
    (leak,) = report.leaks
    assert (leak.file, leak.matches) == ("Testing/a/3.png", ["Training/a/1.png"])
    assert (leak.side, leak.pose) == ("test", "mirror")
    assert leak.distance < 0.001
    log_findings(report)
    assert "LEAK: 1 of the 2 test files show a picture that also stands in train" in caplog.text
    write_report(report, tmp_path, "scans")
    page = (tmp_path / "dataset_report.html").read_text()
    assert page.index("Leak: 1 of the 2 test files") < page.index("<h2>")
    shown = [line for line in page.splitlines() if "data:image/png;base64," in line]
    assert len(shown) == len(report.shown) > 0
    assert "shown" not in json.loads((tmp_path / "dataset_report.json").read_text())


@pytest.mark.parametrize(
    ("counts", "name"),
    [((5712, 1311), "first edition"), ((5600, 1600), "untested"), ((5712, 1600), None)],
)
def test_an_edition_of_the_public_data_set_is_known_by_its_counts(
    counts: tuple[int, int], name: str | None, tmp_path: Path
) -> None:
    with Archive(write_folder(tmp_path / "d", {"a/1.png": png(1)})) as archive:
        one = read_scans(archive)
    train: Side = "train"
    test: Side = "test"
    sides = [train] * counts[0] + [test] * counts[1]
    table = replace(
        join([one] * len(sides)), scans=[Scan(f"{n}", "a", side) for n, side in enumerate(sides)]
    )
    edition = describe(table, {}).edition
    assert edition is None if name is None else name in str(edition)
