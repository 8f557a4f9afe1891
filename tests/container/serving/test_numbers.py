"""serving.numbers: numbers as scans."""

import math
import pickle
import struct
import tempfile
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from brain_tumor.errors import ImageError, ImageTooLargeError, PayloadError
from brain_tumor.serving.bodies import Body
from brain_tumor.serving.numbers import read_npy
from brain_tumor.serving.payloads import NPY
from tests.bodies import body_of, npy, pixels_of, read
from tests.scans import jpeg, noise

GREY = noise(0)
Array = NDArray[Any]
no_deadline = settings(deadline=None, max_examples=100)


def _npy_header(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    text = header.encode("latin1")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


@pytest.mark.parametrize(
    ("array", "count"),
    [
        (GREY, 1),
        (GREY[..., np.newaxis], 1),
        (np.repeat(GREY[..., np.newaxis], 3, axis=2), 1),
        (np.stack([GREY] * 5), 5),
        (np.stack([GREY] * 3)[..., np.newaxis], 3),
        (np.repeat(np.stack([GREY] * 2)[..., np.newaxis], 3, axis=3), 2),
    ],
    ids=["h w", "h w 1", "h w 3", "n h w", "n h w 1", "n h w 3"],
)
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int64", "float16", "float32", ">f8"])
def test_npy_is_read_in_every_promised_shape_and_number_type(
    array: Array, count: int, dtype: str
) -> None:
    decoded = pixels_of(read(npy(array.astype(dtype)), NPY))
    assert len(decoded) == count
    for pixels in decoded:
        np.testing.assert_array_equal(pixels, GREY)


def test_npy_in_fortran_order_is_the_same_image() -> None:
    body = npy(np.asfortranarray(GREY))
    assert b"'fortran_order': True" in body
    np.testing.assert_array_equal(pixels_of(read(body, NPY))[0], GREY)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)), st.booleans())
@no_deadline
def test_numbers_come_out_of_npy_as_they_went_in(pixels: Array, fortran: bool) -> None:
    body = npy(np.asfortranarray(pixels) if fortran else pixels)
    np.testing.assert_array_equal(pixels_of(read(body, NPY))[0], pixels)


def test_one_bad_scan_of_an_npy_batch_fails_alone() -> None:
    scans = np.stack([GREY] * 3).astype(np.float32)
    scans[1, 0, 0] = np.nan
    first, second, third = read(npy(scans), NPY)
    assert isinstance(second, ImageError)
    np.testing.assert_array_equal(pixels_of([first, third]), [GREY, GREY])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 1, 2, 2, 1), np.uint8),
        np.zeros((0, 8, 8), np.uint8),
        np.zeros((3, 0, 8), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
    ids=lambda array: str(array.shape),
)
def test_npy_of_another_shape_or_an_empty_batch_is_a_400_with_the_shape(array: Array) -> None:
    with pytest.raises(PayloadError, match="n of at least 1") as caught:
        read(npy(array), NPY)
    assert str(array.shape) in str(caught.value)


def test_a_billion_scans_without_pixels_are_refused_unread() -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 0, 5)}"
    with pytest.raises(PayloadError, match=r"has shape \(1000000000, 0, 5\)"):
        read(_npy_header(header), NPY)


class _Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle was run')",))


def test_npy_with_a_pickle_in_it_is_refused_and_not_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = npy(np.array([[_Exploit()]], dtype=object))
    assert b"a pickle was run" in body
    with pytest.raises(PayloadError, match=r"holds object; wanted numbers 0-255 \(no pickle\)"):
        read(body, NPY)
    with pytest.raises(ImageError):
        read(pickle.dumps(_Exploit()), "")


@pytest.mark.parametrize("dtype", ["complex64", "S4", "U4", "datetime64[s]", "V8", "u1,u1"])
def test_npy_of_no_numbers_is_a_400_with_its_type(dtype: str) -> None:
    with pytest.raises(PayloadError, match="wanted numbers 0-255"):
        read(npy(np.zeros((4, 4), dtype)), NPY)


@pytest.mark.parametrize(
    ("shape", "given"),
    [
        ((4, 5), 19),
        ((4, 5), 21),
        ((4, 5), 0),
        ((100_000, 100_000), 20),
        ((2**40, 2**40), 20),
        ((-4, 5), 20),
    ],
)
def test_an_npy_header_that_lies_about_its_size_is_a_400_with_both_sizes(
    shape: tuple[int, int], given: int
) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
    with pytest.raises(PayloadError, match=f"but {given} bytes follow") as caught:
        read(_npy_header(header, bytes(given)), NPY)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("shape", ["(-4, -5)", "(True, 20)", "(-1, -20)"])
def test_an_npy_header_with_an_impossible_shape_is_a_400(shape: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
    with pytest.raises(PayloadError, match="which is no shape"):
        read(_npy_header(header, bytes(20)), NPY)


@pytest.mark.parametrize(
    "body",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x09\x09\x00\x00",
        npy(GREY)[:40],
        _npy_header(""),
        _npy_header("{}"),
        _npy_header("{'descr': ("),
        _npy_header("{[]: 1}"),
        _npy_header("(" * 3000),
        _npy_header("\x00"),
        _npy_header("__import__('os')"),
        _npy_header("{'descr': 'zz', 'fortran_order': False, 'shape': (2, 2)}", bytes(4)),
        _npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2.5)}", bytes(5)),
        _npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': 4}", bytes(4), (2, 0)),
        jpeg(0),
        b"<html>",
    ],
)
def test_a_body_that_is_no_npy_is_a_400(body: bytes) -> None:
    with pytest.raises(PayloadError, match="no npy file of version 1 or 2"):
        read(body, NPY)


def test_npy_of_version_2_isread() -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {GREY.shape}}}"
    body = _npy_header(header, GREY.tobytes(), (2, 0))
    np.testing.assert_array_equal(pixels_of(read(body, NPY))[0], GREY)


def test_scans_of_an_npy_file_are_read_one_at_a_time() -> None:
    body = body_of(npy(np.stack([GREY] * 50)), NPY)
    scans = read_npy(body, GREY.size)
    next(scans.items)
    assert body.stream.tell() < body.size / 10


@pytest.mark.parametrize("shape", [(30_000, 30_000), (2, 15_000, 10_000, 3)])
def test_too_many_pixels_are_seen_from_the_npy_header_alone(shape: tuple[int, ...]) -> None:
    header = _npy_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}")
    size = len(header) + math.prod(shape)
    with tempfile.TemporaryFile() as file:
        file.write(header)
        file.truncate(size)
        file.seek(0)
        with pytest.raises(ImageTooLargeError, match="at most 50 million") as caught:
            read_npy(Body(file, size, NPY, {}), 50_000_000)
        assert caught.value.status == 413
        assert file.tell() < 20_000


@pytest.mark.parametrize("shape", [(3, 64, 96), (3, 64, 96, 3), (64, 96, 3)])
def test_several_scans_in_fortran_order_are_told_apart(shape: tuple[int, ...]) -> None:
    scans = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    fortran, c_order = (
        pixels_of(read(npy(order), NPY)) for order in (np.asfortranarray(scans), scans)
    )
    np.testing.assert_array_equal(fortran, c_order)
