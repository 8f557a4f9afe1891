"""data.duplicates: which scans are the same picture."""

from pathlib import Path

import pytest

from brain_tumor.data.archive import Archive
from brain_tumor.data.duplicates import duplicate_groups, is_conflict
from brain_tumor.data.scans import ScanTable, read_scans
from tests.scans import encode, noise, png, write_folder


@pytest.fixture
def table(tmp_path: Path) -> ScanTable:
    """Give scans of which a/1, a/3 and b/2 are one picture, and a/2 and a/4 another."""
    members = {
        "a/1.png": png(1),
        "a/2.png": png(2),
        "a/3.bmp": encode(noise(1), "BMP"),
        "a/4.tif": encode(noise(2), "TIFF"),
        "b/1.png": png(3),
        "b/2.png": png(1),
    }
    with Archive(write_folder(tmp_path / "d", members)) as archive:
        return read_scans(archive)


def test_files_with_the_same_pixels_are_one_group_in_the_order_of_the_table(
    table: ScanTable,
) -> None:
    groups = [[table.files[row] for row in group] for group in duplicate_groups(table)]
    assert groups == [["a/1.png", "a/3.bmp", "b/2.png"], ["a/2.png", "a/4.tif"], ["b/1.png"]]


def test_one_picture_in_two_classes_is_a_conflict_and_one_class_is_none(table: ScanTable) -> None:
    assert [is_conflict(table, group) for group in duplicate_groups(table)] == [True, False, False]
