"""data.scans: scans decoded in one pass."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor import images
from brain_tumor.data.archive import Archive
from brain_tumor.data.scans import ScanTable, read_scans, require_every_class
from brain_tumor.errors import DataError
from tests.scans import encode, jpeg, noise, png, write_folder, write_zip


def _read(path: Path, size: int = 0) -> ScanTable:
    with Archive(path) as archive:
        return read_scans(archive, size)


def test_scans_are_rows_in_the_order_of_their_names_with_labels_and_pixels(tmp_path: Path) -> None:
    members = {"b/2.jpg": jpeg(2), "a/9.png": png(9), "b/10.jpg": jpeg(10)}
    table = _read(write_zip(tmp_path / "scans.zip", members), size=48)
    assert table.files == ["a/9.png", "b/10.jpg", "b/2.jpg"]
    assert table.labels == ["a", "b", "b"]
    assert table.pixels.shape == (len(table), 48, 48)
    for file, row in zip(table.files, table.pixels[:], strict=True):
        np.testing.assert_array_equal(row, images.resize(images.decode(members[file]), 48))


def test_without_a_size_no_pixels_are_kept(tmp_path: Path) -> None:
    table = _read(write_folder(tmp_path / "d", {"a/1.png": png(1), "b/1.png": png(2)}))
    assert table.pixels.shape == (2, 0, 0)
    assert len(set(table.digests)) == 2


def test_the_same_pixels_have_one_digest_whatever_their_file_format(tmp_path: Path) -> None:
    grey = noise(1)
    members = {
        "a/1.png": encode(grey, "PNG"),
        "a/2.bmp": encode(grey, "BMP"),
        "a/3.tif": encode(Image.fromarray(grey).convert("RGB"), "TIFF"),
        "a/4.png": encode(grey[::-1], "PNG"),
        "a/5.png": encode(grey.reshape(grey.shape[::-1]), "PNG"),
    }
    digests = _read(write_folder(tmp_path / "d", members)).digests
    assert digests[0] == digests[1] == digests[2]
    assert len(set(digests)) == 3


def test_damaged_files_are_listed_with_their_reason_and_leave_no_row(tmp_path: Path) -> None:
    members = {
        "a/1.jpg": jpeg(1),
        "a/2.jpg": jpeg(2)[:300],
        "a/3.jpg": b"<html>",
        "b/1.jpg": jpeg(3),
        "stray.jpg": jpeg(4),
    }
    table = _read(write_zip(tmp_path / "scans.zip", members), size=32)
    assert table.files == ["a/1.jpg", "b/1.jpg"]
    reasons = {entry.file: entry.reason for entry in table.damaged}
    assert set(reasons) == {"a/2.jpg", "a/3.jpg", "stray.jpg"}
    assert "damaged" in reasons["a/2.jpg"]
    assert "no image" in reasons["a/3.jpg"]
    assert reasons["stray.jpg"] == "not inside a class folder"
    wanted = images.resize(images.decode(members["b/1.jpg"]), 32)
    np.testing.assert_array_equal(table.pixels[1], wanted)


def test_rows_of_a_table_keep_file_digest_and_pixels_together(tmp_path: Path) -> None:
    members = {f"a/{number}.png": png(number) for number in range(4)}
    table = _read(write_folder(tmp_path / "d", members), size=16)
    part = table.rows([3, 1])
    assert part.files == ["a/3.png", "a/1.png"]
    assert part.digests == [table.digests[3], table.digests[1]]
    np.testing.assert_array_equal(part.pixels[:], table.pixels[[3, 1]])


def _require(path: Path) -> None:
    with Archive(path) as archive:
        require_every_class(archive, read_scans(archive))


def test_a_class_without_a_readable_scan_is_named_with_the_reason_of_its_first(
    tmp_path: Path,
) -> None:
    members = {"a/1.jpg": jpeg(1), "b/1.jpg": b"", "b/2.jpg": b"junk"}
    with pytest.raises(DataError, match=r"no readable scan of class 'b'.*b/1.jpg: .*0 bytes"):
        _require(write_folder(tmp_path / "d", members))


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_an_empty_class_folder_is_named(kind: str, tmp_path: Path) -> None:
    members = {"a/1.jpg": jpeg(1), "b/1.jpg": jpeg(2), "glioma/": b""}
    write = write_zip if kind == "zip" else write_folder
    with pytest.raises(DataError, match="has an empty class folder: glioma"):
        _require(write(tmp_path / "scans", members))
