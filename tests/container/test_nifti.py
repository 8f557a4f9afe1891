"""nifti: volumes to axial slices as radiologists look at them."""

import gzip
import itertools
import struct
import tracemalloc
from contextlib import suppress
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brain_tumor.errors import ImageError, ImageTooLargeError
from brain_tumor.images import PERCENTILES, Pixels, is_nifti
from brain_tumor.nifti import decode_nifti
from tests.medical import nifti
from tests.scans import encode, noise

Array = NDArray[Any]
# (x, y, z): to the right, to the front, up; three lengths, and no symmetry.
VOXELS = np.random.default_rng(0).integers(0, 1000, (12, 10, 7)).astype(np.int16)


def _slices(data: bytes, **options: Any) -> list[Pixels]:
    slices = decode_nifti(data, **options)
    return [slices.decode(index) for index in range(slices.count)]


def _shown(voxels: Array) -> list[Array]:
    """Give the slices of (x, y, z) to the right, front and up, as they are looked at."""
    black, white = np.percentile(voxels, PERCENTILES)
    grey = np.rint(np.interp(voxels, (black, white), (0, 255))).astype(np.uint8)
    # A row for each y, the front first; a column for each x, the right first.
    return [grey[::-1, ::-1, z].T for z in range(voxels.shape[2])]


def test_the_patients_right_is_on_the_left_and_the_front_on_top() -> None:
    voxels = np.zeros((20, 30, 3), np.int16)
    voxels[15:, 25:, 2] = 100
    *lower, top = _slices(nifti(voxels))
    assert top.shape == (30, 20)
    assert top[:5, :5].min() == 255
    assert top[5:].max() == top[:, 5:].max() == 0
    assert not any(slice_.any() for slice_ in lower)


def test_slices_are_scaled_by_percentiles_of_the_whole_volume() -> None:
    for found, wanted in zip(_slices(nifti(VOXELS)), _shown(VOXELS), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_a_head_looks_the_same_however_its_voxels_are_stored(
    axes: tuple[int, int, int], signs: tuple[int, int, int]
) -> None:
    stored = VOXELS.transpose(axes)
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for number, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        affine[axis, number] = sign
    stored = stored[tuple(slice(None, None, sign) for sign in signs)]
    for found, wanted in zip(_slices(nifti(stored, affine)), _shown(VOXELS), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_voxels_that_are_not_cubes_keep_the_heads_shape(form: str) -> None:
    image = nibabel.Nifti1Image(VOXELS, None)
    getattr(image, f"set_{form}")(np.diag([0.5, 1.5, 4, 1]), code=1)
    first, *_ = _slices(image.to_bytes())
    assert first.shape == (30, 12)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "u2", "i4", "f4", "f8"])
def test_every_version_and_type_of_numbers_gives_the_same_slices(
    kind: Any, compressed: bool, dtype: str
) -> None:
    voxels = VOXELS % 256
    image = kind(voxels.astype(dtype), np.eye(4), dtype=np.dtype(dtype))
    data = image.to_bytes()
    found = _slices(gzip.compress(data) if compressed else data)
    for one, wanted in zip(found, _slices(nifti(voxels)), strict=True):
        np.testing.assert_array_equal(one, wanted)


def test_slope_and_intercept_change_no_picture_unless_they_turn_it_over() -> None:
    plain = _slices(nifti(VOXELS))
    for scaled, wanted in zip(_slices(nifti(VOXELS, slope=0.1, intercept=-50)), plain, strict=True):
        np.testing.assert_array_equal(scaled, wanted)
    black = np.zeros((8, 8, 1), np.int16)
    black[0, 0] = 1
    (turned,) = _slices(nifti(black, slope=-1))
    assert (turned == 0).sum() == 1


def test_of_several_volumes_the_first_is_taken() -> None:
    volumes = np.stack([VOXELS, 999 - VOXELS], axis=3)
    for found, wanted in zip(_slices(nifti(volumes)), _shown(VOXELS), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_one_slice_without_a_third_axis_is_a_slice() -> None:
    (found,) = _slices(nifti(VOXELS[:, :, 0]))
    np.testing.assert_array_equal(found, _shown(VOXELS[:, :, :1])[0])


def test_what_is_no_number_is_black() -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[0, 0, 0] = np.nan
    first, *_ = _slices(nifti(voxels))
    assert first[-1, -1] == 0
    assert first.max() == 255
    with pytest.raises(ImageError, match="no finite value"):
        decode_nifti(nifti(np.full((4, 4, 4), np.nan, np.float32)))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no NIfTI"),
        (b"no NIfTI at all", "no NIfTI"),
        (encode(noise(0), "PNG"), "no NIfTI"),
        (gzip.compress(b"another file" * 100, mtime=0), "no NIfTI"),
        (nifti(VOXELS)[:1000], "damaged"),
        (nifti(VOXELS, compressed=True)[:1000], "damaged"),
        (nifti(VOXELS)[:344] + b"ni1\0", r"\.hdr, \.img"),
        (nifti(np.zeros((4, 4, 2), np.complex64)), "colours or complex"),
        (nifti(VOXELS, np.diag([1, 100, 1, 1])), "no pixels of a scan"),
    ],
)
def test_what_is_no_volume_is_a_400_with_its_reason(data: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence) as caught:
        decode_nifti(data)
    assert caught.value.status == 400


def _announcing(shape: tuple[int, int, int]) -> bytes:
    header = bytearray(nifti(VOXELS)[:352])
    header[40:56] = struct.pack("<8h", 3, *shape, 1, 1, 1, 1)
    return bytes(header)


def test_a_volume_above_the_limit_is_seen_from_its_header_and_not_unpacked() -> None:
    bomb = gzip.compress(_announcing((10_000, 10_000, 100)) + bytes(30_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLargeError, match="at most 400 MB") as caught:
            decode_nifti(bomb)
        assert caught.value.status == 413
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(ImageTooLargeError, match="12 x 10"):
        decode_nifti(nifti(VOXELS[:, :, :1]), max_pixels=119)


def test_bytes_behind_the_first_volume_are_not_unpacked() -> None:
    data = gzip.compress(nifti(VOXELS) + bytes(50_000_000))
    tracemalloc.start()
    try:
        assert len(_slices(data)) == VOXELS.shape[2]
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_a_volume_is_not_copied_for_its_percentiles(
    monkeypatch: pytest.MonkeyPatch, signs: tuple[int, int, int]
) -> None:
    monkeypatch.setattr("brain_tumor.nifti._SAMPLES", 10_000)
    volume = np.tile(VOXELS, (10, 10, 50))
    data = nifti(volume, np.diag([*signs, 1]))
    tracemalloc.start()
    try:
        slices = decode_nifti(data)
        assert tracemalloc.get_traced_memory()[1] < volume.nbytes / 4
    finally:
        tracemalloc.stop()
    # A hundred times the same voxels: a sample of them has about the range of all.
    wanted = _shown(volume[tuple(slice(None, None, sign) for sign in signs)])[0]
    assert np.abs(slices.decode(0).astype(int) - wanted).max() <= 2


WHOLE = nifti(VOXELS)


@given(st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=6))
@settings(deadline=None, max_examples=200)
def test_whatever_stands_in_the_header_the_answer_is_slices_or_an_error(
    changes: list[tuple[int, int]],
) -> None:
    damaged = bytearray(WHOLE)
    for at, value in changes:
        damaged[at] = value
    with suppress(ImageError):
        assert all(one.dtype == np.uint8 for one in _slices(bytes(damaged), max_pixels=100_000))


def test_a_file_is_known_by_its_first_bytes() -> None:
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        assert is_nifti(nifti(VOXELS, kind=kind)[:348])
    assert not is_nifti(encode(noise(0), "PNG")[:348])
