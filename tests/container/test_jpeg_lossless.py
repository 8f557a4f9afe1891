"""jpeg_lossless: JPEG Lossless against an encoder of its own kind, GDCM and libjpeg-turbo."""

import base64
import io
import tracemalloc
from contextlib import suppress
from pathlib import Path

import jpeg_ls
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import get_frame

from brain_tumor import jpeg_lossless
from tests.lossless import encode

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
Samples = NDArray[np.uint16]


def _samples(seed: int, precision: int = 16, components: int = 1) -> Samples:
    """Draw a slope with noise, and the smallest and largest number beside each other."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0, 2**precision - 1, 19)[:, np.newaxis] + np.zeros((13, 1, components))
    noisy = slope + random.normal(0, 2**precision / 40, slope.shape)
    samples: Samples = noisy.clip(0, 2**precision - 1).astype(np.uint16)
    samples[5, 3:7] = np.array([0, 2**precision - 1, 0, 2**precision - 1])[:, np.newaxis]
    return samples


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("precision", [2, 8, 12, 16])
def test_every_predictor_and_precision_gives_back_what_was_encoded(
    predictor: int, precision: int
) -> None:
    samples = _samples(predictor, precision)
    decoded = jpeg_lossless.decode(encode(samples, precision, predictor), samples.shape)
    np.testing.assert_array_equal(decoded, samples)


@pytest.mark.parametrize("interleaved", [True, False])
def test_colours_are_decoded_interleaved_and_one_scan_after_another(interleaved: bool) -> None:
    samples = _samples(0, 8, components=3)
    decoded = jpeg_lossless.decode(encode(samples, 8, 1, interleaved=interleaved), samples.shape)
    np.testing.assert_array_equal(decoded, samples)


@pytest.mark.parametrize("rows", [1, 3, 13])
def test_prediction_begins_anew_after_a_restart(rows: int) -> None:
    samples = _samples(1)
    decoded = jpeg_lossless.decode(encode(samples, 16, 4, restart_rows=rows), samples.shape)
    np.testing.assert_array_equal(decoded, samples)


def test_bits_that_were_cut_off_come_back_as_zeros() -> None:
    samples = _samples(2)
    decoded = jpeg_lossless.decode(encode(samples, 16, 1, shift=3), samples.shape)
    np.testing.assert_array_equal(decoded, samples >> 3 << 3)


def test_a_frame_larger_than_a_block_is_decoded_across_its_border(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = _samples(3, components=3)
    frame = encode(samples, 16, 1)
    for size in (7, 64, 100):
        monkeypatch.setattr(jpeg_lossless, "_BLOCK", size)
        np.testing.assert_array_equal(jpeg_lossless.decode(frame, samples.shape), samples)


def test_it_agrees_with_libjpeg_turbo_about_a_frame_that_gdcm_encoded() -> None:
    file = pydicom.dcmread(FILES / "SC_rgb_jpeg_gdcm.dcm")
    frame = get_frame(file.PixelData, 0, number_of_frames=1)
    wanted = np.asarray(Image.open(io.BytesIO(frame)))
    np.testing.assert_array_equal(jpeg_lossless.decode(frame, wanted.shape), wanted)


# A slope of 16 bits, 4 x 6, as GDCM 3.2.6 encodes it, process 14 and its first selection value.
GDCM_16_BITS = (
    "/9j/wwALEAAEAAYBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAADA8Q/9oACAEBAAEAAMrZVsq2VbKtmgiytlWyrZVsq2"
    "aCLK2VbKtlWyrZoIsrZVsq2VbKtn//2QA="
)
SLOPE = (np.arange(24, dtype=np.uint16) * 2777).reshape(4, 6)


def test_it_agrees_with_gdcm_about_16_bits() -> None:
    decoded = jpeg_lossless.decode(base64.b64decode(GDCM_16_BITS), (4, 6, 1))
    np.testing.assert_array_equal(decoded[..., 0], SLOPE)


FRAME = encode(_samples(4), 16, 1)
SHAPE = (13, 19, 1)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 20, 60, len(FRAME) // 2, len(FRAME) - 30])
def test_a_truncated_frame_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match=r"ends early|no JPEG|missing|damaged"):
        jpeg_lossless.decode(FRAME[:length], SHAPE)


@given(st.lists(st.tuples(st.integers(0, len(FRAME) - 1), st.integers(0, 255)), max_size=8))
@settings(deadline=None, max_examples=150)
def test_whatever_is_damaged_the_answer_is_samples_or_an_error(
    changes: list[tuple[int, int]],
) -> None:
    damaged = bytearray(FRAME)
    for at, value in changes:
        damaged[at] = value
    with suppress(ValueError):
        assert jpeg_lossless.decode(bytes(damaged), SHAPE).shape == SHAPE


def _header(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a frame before and behind its header."""
    start = frame.index(b"\xff\xc3")
    end = start + 2 + int.from_bytes(frame[start + 2 : start + 4], "big")
    return frame[:start], frame[start:end], frame[end:]


@pytest.mark.parametrize("field", [slice(5, 7), slice(7, 9)], ids=["height", "width"])
def test_a_frame_of_another_shape_is_not_decoded(field: slice) -> None:
    before, header, rest = _header(FRAME)
    large = bytearray(header)
    large[field] = b"\xff\xff"
    _assert_takes_nothing(before + large + rest, "announced")


def test_a_second_header_is_refused_wherever_it_stands() -> None:
    before, header, rest = _header(FRAME)
    large = header[:5] + b"\xff\xff\xff\xff" + header[9:]
    _assert_takes_nothing(before + header + large + rest, "a second header")
    _assert_takes_nothing(FRAME[:-2] + large + rest, "a second header")


def _assert_takes_nothing(frame: bytes, sentence: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=sentence):
            jpeg_lossless.decode(frame, SHAPE)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_the_shape_stands_in_the_header_of_every_kind_of_jpeg() -> None:
    assert jpeg_lossless.shape_of(FRAME) == SHAPE
    baseline = io.BytesIO()
    Image.new("RGB", (30, 20)).save(baseline, "JPEG")
    assert jpeg_lossless.shape_of(baseline.getvalue()) == (20, 30, 3)
    frame = bytes(jpeg_ls.encode_array(np.zeros((20, 30, 3), np.uint8)))
    assert jpeg_lossless.shape_of(frame) == (20, 30, 3)


def test_another_kind_of_jpeg_is_an_error() -> None:
    baseline = io.BytesIO()
    Image.new("L", (30, 20)).save(baseline, "JPEG")
    with pytest.raises(ValueError, match="another kind of JPEG"):
        jpeg_lossless.decode(baseline.getvalue(), (20, 30, 1))
