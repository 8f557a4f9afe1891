"""Pictures in a temporary file: what is read is what was written, and memory does not grow."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.resources import resident_memory

ARRAY = np.random.default_rng(0).integers(0, 256, (3000, 6, 5), dtype=np.uint8)
MASK = np.random.default_rng(1).random(3000) < 0.3


@pytest.fixture(scope="module")
def stored() -> StoredPixels:
    return StoredPixels.of(ARRAY)


@pytest.mark.parametrize(
    "chosen",
    [
        slice(None),
        slice(7, 2000, 3),
        slice(-5, None),
        slice(10, 10),
        0,
        np.int32(2999),
        [5, 6, 7, 2, 2, 2999],
        [],
        np.array([4, 3, 2], np.int32),
        MASK,
    ],
    ids=str,
)
def test_any_choice_of_rows_is_read_as_an_array_would_give_it(
    stored: StoredPixels, chosen: Any
) -> None:
    wanted = ARRAY[np.array(chosen, int) if isinstance(chosen, list) else chosen]
    np.testing.assert_array_equal(stored[chosen], wanted)
    if not isinstance(chosen, int | np.integer):
        part = stored.rows(np.arange(3000)[chosen] if isinstance(chosen, slice) else chosen)
        assert part.shape == wanted.shape
        np.testing.assert_array_equal(part[:], wanted)


def test_rows_of_rows_are_found(stored: StoredPixels) -> None:
    part = stored.rows(MASK).rows([3, 1]).rows([1, 0, 1])
    np.testing.assert_array_equal(part[1:], ARRAY[MASK][[3, 1]])
    np.testing.assert_array_equal(np.concatenate(list(stored.blocks())), ARRAY)


def test_rows_may_be_written_in_any_order_and_others_are_black() -> None:
    stored = StoredPixels(6, 5)
    assert len(stored) == 0
    for row in (4, 1):
        stored.put(row, ARRAY[row])
    assert stored.shape == (5, 6, 5)
    np.testing.assert_array_equal(stored[[1, 4]], ARRAY[[1, 4]])
    assert not stored[[0, 2, 3]].any()


def test_parts_are_put_one_below_the_other(stored: StoredPixels) -> None:
    both = StoredPixels.of(stored.rows([8, 2]), ARRAY[:3])
    np.testing.assert_array_equal(both[:], ARRAY[[8, 2, 0, 1, 2]])


@pytest.mark.parametrize("chosen", [3000, -1, [0, 3000], [-1]], ids=str)
def test_a_row_that_is_not_there_is_an_error(stored: StoredPixels, chosen: Any) -> None:
    with pytest.raises(IndexError, match="of 3000"):
        stored[chosen]


def test_pictures_of_no_size_are_counted_and_take_no_room() -> None:
    stored = StoredPixels.of(np.empty((7, 0, 0), np.uint8))
    assert stored.shape == stored[:].shape == (7, 0, 0)


def test_memory_does_not_grow_with_the_number_of_pictures() -> None:
    stored = StoredPixels(512, 512)
    before, grown = resident_memory(), []
    for row in range(400):
        stored.put(row, np.full((512, 512), row % 256, np.uint8))
        grown.append(resident_memory() - before)
    for block in range(0, 400, 40):
        assert stored[block : block + 40].shape == (40, 512, 512)
        grown.append(resident_memory() - before)
    # 100 MiB are stored, ten are read at once.
    assert max(grown) < 40 << 20


def test_nothing_is_left_in_the_folder_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stored = StoredPixels.of(ARRAY)
    assert len(stored) == 3000
    assert not list(tmp_path.iterdir())


_FILLS_THE_DISK = """
import resource, signal
import numpy as np
from brain_tumor.data.stored_pixels import StoredPixels
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
stored = StoredPixels(60, 50)
for row in range(9):
    stored.put(row, np.ones((60, 50), np.uint8))
"""


def test_a_full_disk_is_told_with_folder_count_and_remedy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FILLS_THE_DISK],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    # Not the last line: what measures coverage finds the disk full too.
    told = " ".join(done.stderr.split())
    assert f"DiskFullError: The disk is full: {tmp_path} holds 3 scans of 60 x 50 pixels" in told
    assert "VolumeSizeInGB" in told
