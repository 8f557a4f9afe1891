"""data.duplicates: which scans are the same picture."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from brain_tumor.data.archive import Archive
from brain_tumor.data.duplicates import conflicting, duplicate_groups, is_conflict, near_groups
from brain_tumor.data.scans import ScanTable, read_scans
from tests.scans import encode, head, noise, png, write_folder


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


def _jpeg(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encode(picture, "JPEG", quality=quality)))


def _scaled(picture: Image.Image, *sizes: int) -> Image.Image:
    for size in sizes:
        picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    return picture


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 50": lambda picture: _jpeg(picture, 50),
    "JPEG 95": lambda picture: _jpeg(picture, 95),
    "scaled": lambda picture: _scaled(picture, 512, 150),
    "colour": lambda picture: picture.convert("RGB"),
    "padded": lambda picture: ImageOps.expand(picture, 24),
    "padded on one side": lambda picture: ImageOps.pad(picture, (200, 160), centering=(0, 0)),
    "margin cut off": lambda picture: picture.crop((10, 10, 150, 150)),
    "less contrast": lambda picture: picture.point(lambda grey: 0.6 * grey + 30),
    "gamma 0.8": lambda picture: picture.point(lambda grey: 255 * (grey / 255) ** 0.8),
    "gamma 1.25": lambda picture: picture.point(lambda grey: 255 * (grey / 255) ** 1.25),
    "all at once": lambda picture: _jpeg(_scaled(ImageOps.mirror(picture), 224).convert("RGB"), 60),
} | {pose.name: partial(Image.Image.transpose, method=pose) for pose in Image.Transpose}


@pytest.mark.parametrize("how", COPIES)
def test_a_changed_copy_is_the_same_picture(how: str, tmp_path: Path) -> None:
    members = {f"a/{seed}.png": encode(head(seed), "PNG") for seed in range(6)}
    for seed in range(3):
        copy = COPIES[how](Image.fromarray(head(seed)))
        members[f"a/{seed}-copy.png"] = encode(copy, "PNG")
    assert len(_groups(tmp_path, members)) == 6


def test_neighbouring_slices_are_one_group_but_not_one_picture(tmp_path: Path) -> None:
    members = {f"a/{seed}.png": encode(head(seed), "PNG") for seed in range(8)}
    members |= {f"a/{seed}-next.png": encode(head(seed, 30), "PNG") for seed in range(8)}
    with Archive(write_folder(tmp_path / "d", members)) as archive:
        table = read_scans(archive)
    assert len(duplicate_groups(table)) == 16
    assert [[table.files[row] for row in group] for group in near_groups(table)] == [
        [f"a/{seed}-next.png", f"a/{seed}.png"] for seed in range(8)
    ]


def test_pictures_that_show_nothing_match_nothing_else(tmp_path: Path) -> None:
    faint = np.random.default_rng(0).integers(0, 4, (2, 160, 160), np.uint8)
    members = {
        "a/black.png": encode(np.zeros((160, 160), np.uint8), "PNG"),
        "a/grey.png": encode(np.full((160, 160), 90, np.uint8), "PNG"),
        "a/faint.png": encode(faint[0], "PNG"),
        "a/faint-too.png": encode(faint[1], "PNG"),
        "a/head.png": encode(head(1), "PNG"),
    }
    assert len(_groups(tmp_path, members)) == 5


def test_a_mirrored_copy_under_another_label_is_a_conflict(tmp_path: Path) -> None:
    members = {
        "a/1.png": encode(head(1), "PNG"),
        "b/1.png": encode(head(1)[:, ::-1], "PNG"),
        "b/2.png": encode(head(2), "PNG"),
    }
    with Archive(write_folder(tmp_path / "d", members)) as archive:
        table = read_scans(archive)
    assert conflicting(table).tolist() == [True, True, False]


def _groups(tmp_path: Path, members: dict[str, bytes]) -> list[list[int]]:
    with Archive(write_folder(tmp_path / "d", members)) as archive:
        return duplicate_groups(read_scans(archive))
