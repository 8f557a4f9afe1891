"""data.prepare: an archive in, three zips and a report out."""

import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from brain_tumor.data import prepare as module
from brain_tumor.data.archive import Archive
from brain_tumor.data.prepare import check, prepare
from brain_tumor.data.scans import read_scans
from brain_tumor.errors import DataError
from tests.scans import encode, head, jpeg, noise, png, write_folder, write_zip

ZIPS = ("Train.zip", "Val.zip", "Test.zip")


def _kaggle(count: int = 6, first: int = 0) -> dict[str, bytes]:
    """Give two classes in Training/ and Testing/, no picture twice; file names repeat."""
    return {
        f"{side}/{label}/{number}.png": png(first + 1000 * place + number, 24)
        for place, (side, label) in enumerate(
            (side, label) for side in ("Training", "Testing") for label in ("glioma", "notumor")
        )
        for number in range(count)
    }


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _digests(path: Path) -> list[str]:
    with Archive(path) as archive:
        return read_scans(archive).digests


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_no_picture_stands_on_two_sides_or_twice_on_one(tmp_path: Path) -> None:
    members = _kaggle()
    members |= {f"Testing/glioma/copy-{n}.png": members[f"Training/glioma/{n}.png"] for n in (0, 1)}
    report = prepare(
        write_zip(tmp_path / "scans.zip", members), tmp_path / "out", val=0.2, test=0.3
    )
    digests = [digest for name in ZIPS for digest in _digests(tmp_path / "out" / name)]
    assert len(digests) == len(set(digests)) == report.distinct == 24
    assert report.files == 26


def test_shares_are_kept_in_every_class_and_the_archives_own_sides_are_pooled(
    tmp_path: Path,
) -> None:
    source = write_zip(tmp_path / "scans.zip", _kaggle(10))
    prepare(source, tmp_path / "out", val=0.1, test=0.3)
    labels = {
        name: [member.split("/")[0] for member in _names(tmp_path / "out" / name)] for name in ZIPS
    }
    assert {name: labels[name].count("glioma") for name in ZIPS} == dict(
        zip(ZIPS, (12, 2, 6), strict=True)
    )
    assert {name: labels[name].count("notumor") for name in ZIPS} == dict(
        zip(ZIPS, (12, 2, 6), strict=True)
    )


def test_files_go_into_the_zips_byte_by_byte(tmp_path: Path) -> None:
    members = _kaggle(4)
    prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out")
    written = []
    for name in ZIPS:
        with zipfile.ZipFile(tmp_path / "out" / name) as archive:
            written += [archive.read(member) for member in archive.namelist()]
    assert sorted(written) == sorted(members.values())


def test_the_same_seed_gives_the_same_zips_to_the_byte_from_a_zip_or_a_folder(
    tmp_path: Path,
) -> None:
    members = _kaggle()
    prepare(write_zip(tmp_path / "a.zip", members), tmp_path / "one", seed=3)
    backwards = dict(reversed(members.items()))
    prepare(write_zip(tmp_path / "b.zip", backwards), tmp_path / "two", seed=3)
    prepare(write_folder(tmp_path / "c", members), tmp_path / "three", seed=3)
    prepare(tmp_path / "a.zip", tmp_path / "other", seed=4)
    one, two, three, other = (
        [(tmp_path / out / name).read_bytes() for name in ZIPS]
        for out in ("one", "two", "three", "other")
    )
    assert one == two == three
    assert one != other
    with zipfile.ZipFile(tmp_path / "one" / "Train.zip") as archive:
        # Zips made on another day are the same too.
        assert {info.date_time[0] for info in archive.infolist()} == {1980}


def test_the_report_is_written_beside_the_zips_and_lists_each_side(tmp_path: Path) -> None:
    members = _kaggle()
    report = prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *ZIPS,
        "dataset_report.json",
        "dataset_report.html",
    }
    written = json.loads((tmp_path / "out" / "dataset_report.json").read_text())
    assert written == report.model_dump()
    for name, side in zip(ZIPS, ("train", "val", "test"), strict=True):
        assert len(report.splits[side]) == len(_names(tmp_path / "out" / name))
    assert sorted(file for files in report.splits.values() for file in files) == sorted(members)


def test_damaged_files_are_left_out_and_reported(tmp_path: Path) -> None:
    members = _kaggle()
    members["Training/glioma/0.png"] = members["Training/glioma/0.png"][:200]
    members["Training/glioma/1.png"] = b"no image"
    report = prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out")
    assert [entry.file for entry in report.damaged] == [
        "Training/glioma/0.png",
        "Training/glioma/1.png",
    ]
    assert sum(len(_names(tmp_path / "out" / name)) for name in ZIPS) == len(members) - 2


def test_a_picture_with_two_labels_is_left_out_on_every_side_and_reported(tmp_path: Path) -> None:
    members = _kaggle()
    members["Testing/notumor/0.png"] = members["Training/glioma/0.png"]
    report = prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out")
    assert [conflict.files for conflict in report.conflicts] == [
        ["Testing/notumor/0.png", "Training/glioma/0.png"]
    ]
    written = sum(len(_names(tmp_path / "out" / name)) for name in ZIPS)
    assert written == len(members) - 2


@pytest.mark.parametrize(
    ("shares", "written"),
    [
        ({"test": 0.0}, {"Train.zip", "Val.zip"}),
        ({"val": 0.0}, {"Train.zip", "Test.zip"}),
        ({"val": 0.0, "test": 0.0}, {"Train.zip"}),
    ],
)
def test_a_share_of_0_writes_no_zip_and_takes_away_one_of_a_former_run(
    shares: dict[str, float], written: set[str], tmp_path: Path
) -> None:
    source = write_zip(tmp_path / "scans.zip", _kaggle())
    prepare(source, tmp_path / "out")
    prepare(source, tmp_path / "out", val=shares.get("val", 0.15), test=shares.get("test", 0.15))
    assert {path.name for path in (tmp_path / "out").glob("*.zip")} == written


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.5, 0.5), (-0.1, 0.2), (0.2, -0.1)])
def test_shares_that_leave_nothing_to_train_on_are_refused(
    shares: tuple[float, float], tmp_path: Path
) -> None:
    source = write_zip(tmp_path / "scans.zip", _kaggle())
    with pytest.raises(DataError, match=f"--val {shares[0]} and --test {shares[1]}"):
        prepare(source, tmp_path / "out", val=shares[0], test=shares[1])


def test_files_of_the_same_name_from_two_sides_are_both_kept(tmp_path: Path) -> None:
    members = _kaggle()
    prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out", val=0, test=0)
    names = _names(tmp_path / "out" / "Train.zip")
    assert len(set(names)) == len(members)
    assert {"glioma/0.png", "glioma/Training-glioma-0.png"} <= set(names)


def test_file_names_that_clash_even_with_their_folders_are_all_kept(tmp_path: Path) -> None:
    files = ("a/1.png", "b/1.png", "glioma-b-1.png", "c/glioma-b-1.png", "x/a/1.png", "x-a/1.png")
    members = {f"glioma/{file}": png(number) for number, file in enumerate(files)}
    members |= {f"notumor/{number}.png": png(100 + number) for number in range(3)}
    prepare(write_folder(tmp_path / "scans", members), tmp_path / "out", val=0, test=0)
    names = _names(tmp_path / "out" / "Train.zip")
    assert len(set(names)) == len(members)


def test_official_keeps_the_archives_own_sides_and_splits_val_off_training(tmp_path: Path) -> None:
    members = _kaggle(10)
    source = write_zip(tmp_path / "scans.zip", members)
    report = prepare(source, tmp_path / "out", val=0.2, official=True)
    assert sorted(report.splits["test"]) == sorted(f for f in members if f.startswith("Testing"))
    assert len(report.splits["val"]) == 4
    assert all(f.startswith("Training") for f in report.splits["train"] + report.splits["val"])
    assert len(_names(tmp_path / "out" / "Train.zip")) == 16


def test_official_keeps_a_val_side_that_the_archive_has(tmp_path: Path) -> None:
    members = _kaggle() | {f"Validation/{label}/1.png": png(77) for label in ("glioma", "notumor")}
    members["Validation/notumor/1.png"] = png(78)
    source = write_zip(tmp_path / "scans.zip", members)
    report = prepare(source, tmp_path / "out", val=0.4, official=True)
    assert sorted(report.splits["val"]) == ["Validation/glioma/1.png", "Validation/notumor/1.png"]
    assert len(report.splits["train"]) == 12


@pytest.mark.parametrize("other", ["Training", "Validation"])
def test_official_logs_a_leak_when_test_files_stand_on_another_side(
    other: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = _kaggle()
    for label in ("glioma", "notumor"):
        members[f"{other}/{label}/copy.png"] = members[f"Testing/{label}/0.png"]
    source = write_zip(tmp_path / "scans.zip", members)
    report = prepare(source, tmp_path / "out", official=True)
    assert "LEAK: 2 of the 12 test files" in caplog.text
    assert "Testing/glioma/0.png" in report.splits["test"]


def test_official_logs_no_leak_for_duplicates_within_the_test_side(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    members = _kaggle()
    members["Testing/glioma/copy.png"] = members["Testing/glioma/0.png"]
    caplog.set_level(logging.INFO)
    prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out", official=True)
    assert "LEAK" not in caplog.text


def test_official_keeps_duplicates_of_the_training_side_together(tmp_path: Path) -> None:
    members = _kaggle()
    for number in range(6):
        members[f"Training/glioma/copy-{number}.png"] = members[f"Training/glioma/{number}.png"]
    source = write_zip(tmp_path / "scans.zip", members)
    prepare(source, tmp_path / "out", val=0.3, official=True)
    train, val = (set(_digests(tmp_path / "out" / name)) for name in ("Train.zip", "Val.zip"))
    assert not train & val


def test_official_without_sides_in_the_archive_says_what_to_do(tmp_path: Path) -> None:
    members = {f"{label}/{n}.png": png(n, 24) for label in ("a", "b") for n in range(4)}
    with pytest.raises(DataError, match="Leave --official out"):
        prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out", official=True)


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "scans", {f"glioma/{n}.jpg": jpeg(n) for n in range(9)})
    with pytest.raises(DataError, match="one class only, 'glioma'"):
        prepare(source, tmp_path / "out")


def _fails_while_writing(*_: Any) -> None:
    raise OSError("No space left on device")


def test_a_failure_while_writing_leaves_the_former_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(write_zip(tmp_path / "scans.zip", _kaggle()), tmp_path / "out")
    before = _content(tmp_path / "out")
    other = write_zip(tmp_path / "other.zip", _kaggle(first=500))
    monkeypatch.setattr(module, "write_report", _fails_while_writing)
    with pytest.raises(OSError, match="No space left"):
        prepare(other, tmp_path / "out")
    assert _content(tmp_path / "out") == before


def test_too_few_scans_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Class 'glioma' has 2 distinct scans"):
        prepare(write_zip(tmp_path / "scans.zip", _kaggle(1)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_check_reports_sides_and_findings_and_writes_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_zip(tmp_path / "scans.zip", _kaggle())
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    report = check(source, None)
    assert {side: len(files) for side, files in report.splits.items()} == {"train": 12, "test": 12}
    assert list((tmp_path / "here").iterdir()) == []
    assert check(source, tmp_path / "out") == report
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "dataset_report.json",
        "dataset_report.html",
    }


def test_check_reads_what_prepare_wrote(tmp_path: Path) -> None:
    report = prepare(write_zip(tmp_path / "scans.zip", _kaggle()), tmp_path / "out")
    again = check(tmp_path / "out", None)
    assert again.files == report.files
    assert {side: len(files) for side, files in again.splits.items()} == {
        side: len(files) for side, files in report.splits.items()
    }


def test_check_of_one_class_is_no_error(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "scans", {"glioma/1.jpg": jpeg(1), "glioma/2.jpg": jpeg(2)})
    assert check(source, None).classes == {"glioma": 2}


@pytest.mark.parametrize("official", [False, True])
def test_the_phantoms_can_be_prepared_both_ways(
    official: bool, phantoms: Path, tmp_path: Path
) -> None:
    report = prepare(phantoms, tmp_path / "out", official=official)
    assert report.classes == dict.fromkeys(("glioma", "meningioma", "notumor", "pituitary"), 12)
    assert report.distinct == report.files == 48
    assert set(report.splits) == {"train", "val", "test"}


@pytest.mark.parametrize("source", ["Train.zip", "."])
def test_the_source_is_never_overwritten(source: str, tmp_path: Path) -> None:
    members = {
        f"{label}/{n}.png": png(10 * n + i) for n in range(6) for i, label in enumerate("ab")
    }
    archive = write_zip(tmp_path / "Train.zip", members)
    before = archive.read_bytes()
    with pytest.raises(DataError, match="would be overwritten"):
        prepare(tmp_path / source, tmp_path, test=0)
    assert archive.read_bytes() == before


def test_a_class_all_of_whose_pictures_conflict_is_named(tmp_path: Path) -> None:
    members = {f"a/{n}.png": png(n) for n in range(6)}
    for n in range(6):
        members[f"b/{n}.png"] = members[f"c/{n}.png"] = png(100 + n)
    with pytest.raises(DataError, match="Every picture of class b, c stands in another class"):
        prepare(write_zip(tmp_path / "d.zip", members), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_check_reports_an_archive_with_an_empty_or_damaged_class(tmp_path: Path) -> None:
    members = {"a/1.png": png(1), "b/1.png": b"junk", "c/": b""}
    report = check(write_zip(tmp_path / "d.zip", members), tmp_path / "out")
    assert report.classes == {"a": 1}
    assert [entry.file for entry in report.damaged] == ["b/1.png"]


def _slices(count: int, first: int) -> dict[str, bytes]:
    """Give heads of which each has a neighbouring slice."""
    members = {}
    for label, start in (("a", first), ("b", first + 100)):
        for number in range(start, start + count):
            members[f"{label}/{number}.png"] = encode(head(number), "PNG")
            members[f"{label}/{number}-next.png"] = encode(head(number, 30), "PNG")
    return members


@pytest.mark.parametrize("official", [False, True])
def test_neighbouring_slices_stay_on_one_side_of_every_split(
    official: bool, tmp_path: Path
) -> None:
    members = _slices(8, 0)
    if official:
        tested = _slices(2, 50)
        members = {f"Training/{file}": data for file, data in members.items()}
        members |= {f"Testing/{file}": data for file, data in tested.items()}
    source = write_zip(tmp_path / "scans.zip", members)
    report = prepare(source, tmp_path / "out", val=0.25, official=official)
    assert len(report.near_groups) == len(members) // 2
    for files in report.splits.values():
        for file in files:
            stem = file.removesuffix(".png").removesuffix("-next")
            assert {f"{stem}.png", f"{stem}-next.png"} <= set(files)
    assert report.leaks == []


def test_of_a_picture_the_grey_file_in_the_commonest_pose_is_kept(tmp_path: Path) -> None:
    members = _kaggle()
    picture = Image.fromarray(noise(777))
    members["Training/glioma/x1.png"] = encode(picture.convert("RGB"), "PNG")
    members["Training/glioma/x2.png"] = encode(ImageOps.mirror(picture), "PNG")
    members["Training/glioma/x3.png"] = encode(picture, "BMP")
    report = prepare(write_zip(tmp_path / "scans.zip", members), tmp_path / "out")
    (group,) = report.duplicate_groups
    assert len(group) == 3
    kept = [file for files in report.splits.values() for file in files if file in group]
    assert kept == ["Training/glioma/x3.png"]


def test_duplicates_are_kept_on_one_side_when_asked_for(tmp_path: Path) -> None:
    members = _kaggle()
    members["Testing/glioma/copy.png"] = encode(noise(0, 24)[::-1], "PNG")
    source = write_zip(tmp_path / "scans.zip", members)
    report = prepare(source, tmp_path / "out", duplicates="keep")
    assert sum(map(len, report.splits.values())) == len(members)
    (group,) = report.duplicate_groups
    assert sum(set(group) <= set(files) for files in report.splits.values()) == 1
