"""images: the only decoder."""

import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

from brain_tumor import images
from brain_tumor.errors import ImageError, ImageTooLargeError
from tests.medical import dicom
from tests.scans import encode, noise

GREY = noise(0)
LOSSLESS: list[tuple[str, dict[str, Any]]] = [
    ("PNG", {}),
    ("BMP", {}),
    ("GIF", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("WEBP", {"lossless": True}),
]
Array = NDArray[np.uint8]
# What an image is turned by to be seen as it was taken: EXIF 2.32, tag 0x0112.
TURNS: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).T,
    8: np.rot90,
}
no_deadline = settings(deadline=None, max_examples=60)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", images.FORMATS)
def test_every_promised_format_is_decoded_to_about_its_pixels(kind: str) -> None:
    smooth = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    decoded = images.decode(encode(smooth, kind))
    assert decoded.shape == (64, 96)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - smooth).max() <= 6


@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossless_formats_give_the_same_grey_to_the_bit(
    kind: str, options: dict[str, Any], mode: str
) -> None:
    picture = Image.fromarray(GREY).convert(mode)
    np.testing.assert_array_equal(images.decode(encode(picture, kind, **options)), GREY)


def test_colour_becomes_the_grey_of_itu_r_601() -> None:
    random = np.random.default_rng(1)
    colour = random.integers(0, 256, (40, 30, 3), dtype=np.uint8)
    wanted = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(images.decode(encode(colour, "PNG")) - wanted).max() <= 0.51


def test_a_black_and_white_image_becomes_0_and_255() -> None:
    bits = GREY > 127
    decoded = images.decode(encode(bits, "PNG"))
    np.testing.assert_array_equal(decoded, bits * np.uint8(255))


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_an_image_is_turned_as_its_exif_says(kind: str, orientation: int) -> None:
    decoded = images.decode(encode(GREY, kind, exif=_exif(orientation)))
    np.testing.assert_array_equal(decoded, TURNS[orientation](GREY))


def test_a_photographed_jpeg_is_turned_as_its_exif_says() -> None:
    upright = images.decode(encode(GREY, "JPEG", quality=95))
    turned = images.decode(encode(GREY, "JPEG", quality=95, exif=_exif(8)))
    np.testing.assert_array_equal(turned, np.rot90(upright))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_values_are_scaled_so_that_white_stays_white(kind: str) -> None:
    wide = np.array([[0, 257, 65535], [128, 129, 32896]], np.uint16)
    decoded = images.decode(encode(wide, kind))
    np.testing.assert_array_equal(decoded, [[0, 1, 255], [0, 1, 128]])


def test_a_big_endian_16_bit_tiff_is_read_like_a_little_endian_one() -> None:
    little = encode(GREY.astype(np.uint16) * 257, "TIFF")
    picture = Image.frombytes(
        "I;16B", (GREY.shape[1], GREY.shape[0]), (GREY.astype(">u2") * 257).tobytes()
    )
    big = encode(picture, "TIFF")
    assert (little[:2], big[:2]) == (b"II", b"MM")
    np.testing.assert_array_equal(images.decode(big), images.decode(little))


def test_pixels_of_32_bits_are_refused_since_their_range_is_unknown() -> None:
    with pytest.raises(ImageError, match=r"mode F \(32 bits\) have no known range"):
        images.decode(encode(np.ones((4, 4), np.float32), "TIFF"))


def test_a_palette_image_gives_the_grey_of_its_colours() -> None:
    indices = Image.fromarray(GREY % 3, "P")
    indices.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    decoded = images.decode(encode(indices, "PNG"))
    np.testing.assert_array_equal(decoded, np.array([76, 150, 29], np.uint8)[GREY % 3])


def test_a_transparent_palette_colour_is_laid_on_black() -> None:
    indices = Image.fromarray(GREY % 2, "P")
    indices.putpalette([200, 200, 200, 90, 90, 90])
    decoded = images.decode(encode(indices, "PNG", transparency=0))
    np.testing.assert_array_equal(decoded, np.array([0, 90], np.uint8)[GREY % 2])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("alpha", "grey"), [(0, 0), (51, 40), (255, 200)])
def test_transparency_is_laid_on_black(mode: str, alpha: int, grey: int) -> None:
    picture = Image.new(mode, (5, 4), (200, alpha) if mode == "LA" else (200, 200, 200, alpha))
    np.testing.assert_array_equal(images.decode(encode(picture, "PNG")), np.full((4, 5), grey))


def test_a_cmyk_jpeg_gives_about_the_grey_of_its_colours() -> None:
    smooth = np.tile(np.linspace(20, 235, 96).astype(np.uint8), (64, 1))
    decoded = images.decode(encode(Image.fromarray(smooth).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - smooth).max() <= 6


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    frames = [Image.new("L", (8, 8), grey) for grey in (10, 200, 90)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(images.decode(data), np.full((8, 8), 10))


@pytest.mark.parametrize("kind", images.FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_truncated_image_is_called_damaged(kind: str, share: float) -> None:
    data = encode(GREY, kind)
    with pytest.raises(ImageError, match=r"The image is damaged: .*truncated upload"):
        images.decode(data[: int(share * len(data))])


@given(st.sampled_from(images.FORMATS), st.data())
@no_deadline
def test_flipped_bytes_give_pixels_or_an_image_error_and_nothing_else(
    kind: str, draw: st.DataObject
) -> None:
    data = bytearray(encode(noise(3, 16), kind))
    for position in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=8)):
        data[position] ^= draw.draw(st.integers(1, 255))
    with suppress(ImageError):
        decoded = images.decode(bytes(data))
        assert decoded.ndim == 2
        assert decoded.dtype == np.uint8


def test_an_empty_body_is_named_as_such() -> None:
    with pytest.raises(ImageError, match=r"empty \(0 bytes\)"):
        images.decode(b"")


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html><html>403</html>", b"PK\x03\x04 a zip", b"%PDF-1.7", bytes(100)]
)
def test_bytes_of_no_image_are_named_with_what_was_wanted(data: bytes) -> None:
    with pytest.raises(ImageError, match="those of no image; wanted one of JPEG, PNG") as caught:
        images.decode(data)
    assert repr(data[:8]) in str(caught.value)


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 60_000])
def test_too_many_pixels_are_refused_from_the_header_alone(side: int) -> None:
    with pytest.raises(ImageTooLargeError) as caught:
        images.decode(_png_header(side, side))
    assert (caught.value.status, caught.value.code) == (413, "too_many_pixels")


def test_the_pixel_limit_is_the_last_size_that_is_read() -> None:
    data = encode(GREY, "PNG")
    assert images.decode(data, max_pixels=GREY.size).size == GREY.size
    with pytest.raises(ImageTooLargeError, match="96 x 64 pixels"):
        images.decode(data, max_pixels=GREY.size - 1)


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)),
    st.integers(1, 48),
)
@no_deadline
def test_resized_pixels_are_square_and_no_brighter_or_darker_than_the_scan(
    pixels: Array, size: int
) -> None:
    resized = images.resize(pixels, size)
    assert resized.shape == (size, size)
    assert resized.dtype == np.uint8
    assert pixels.min() <= resized.min()
    assert resized.max() <= pixels.max()


def test_a_scan_of_the_networks_size_is_left_as_it_is() -> None:
    pixels = GREY[:, :64]
    np.testing.assert_array_equal(images.resize(pixels, 64), pixels)


def test_scaling_down_averages_instead_of_picking_pixels() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert np.abs(images.resize(stripes, 8).astype(int) - 127).max() <= 20


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)),
    st.sampled_from([np.uint8, np.int64, np.uint16, np.float16, np.float32, np.float64]),
    st.sampled_from(["(h, w)", "(h, w, 1)", "(h, w, 3)"]),
)
@no_deadline
def test_whole_numbers_count_as_decoded_pixels_to_the_bit(
    pixels: Array, dtype: type[np.generic], shape: str
) -> None:
    values = pixels.astype(dtype)
    if shape != "(h, w)":
        values = np.repeat(values[..., np.newaxis], 1 if shape == "(h, w, 1)" else 3, axis=2)
    np.testing.assert_array_equal(images.from_numbers(values), pixels)


def test_fractions_are_rounded_to_the_nearest_grey() -> None:
    np.testing.assert_array_equal(images.from_numbers(np.array([[0.4, 254.6]])), [[0, 255]])


def test_colour_numbers_become_the_same_grey_as_the_image_they_were_taken_from() -> None:
    colour = np.random.default_rng(2).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        images.from_numbers(colour.astype(np.float32)), images.decode(encode(colour, "PNG"))
    )


@pytest.mark.parametrize(
    "shape", [(), (4,), (4, 4, 2), (4, 4, 4), (1, 4, 4, 3), (0, 4), (4, 0), (4, 0, 3)]
)
def test_numbers_of_another_shape_are_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"wanted \(h, w\), \(h, w, 1\) or \(h, w, 3\)") as caught:
        images.from_numbers(np.zeros(shape))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1.0, 255.01, 1e300])
def test_numbers_that_are_no_grey_values_are_refused(value: float) -> None:
    values = np.zeros((4, 4))
    values[2, 3] = value
    with pytest.raises(ImageError, match="finite numbers from 0 to 255"):
        images.from_numbers(values)


@pytest.mark.parametrize("dtype", [np.complex64, "U3", "S3", object, "datetime64[s]"])
def test_values_that_are_no_numbers_are_refused_with_their_type(dtype: Any) -> None:
    with pytest.raises(ImageError, match="are no numbers"):
        images.from_numbers(np.zeros((2, 2), dtype))


def test_too_many_numbers_are_refused_like_too_many_pixels() -> None:
    with pytest.raises(ImageTooLargeError, match="5 x 4 pixels"):
        images.from_numbers(np.zeros((4, 5)), max_pixels=19)


# --- What readers of medical files share ---


def test_numbers_become_grey_between_black_and_white_and_are_cut_beyond() -> None:
    values = np.array([[-10, 0, 40, 100, 110]])
    np.testing.assert_array_equal(images.to_grey(values, 0, 100), [[0, 0, 102, 255, 255]])
    np.testing.assert_array_equal(images.to_grey(values, 50, 50), [[0, 0, 0, 255, 255]])
    assert images.to_grey(np.full((2, 2), 7), 7, 7).max() == 0


@pytest.mark.parametrize("block", [1, 100, 1 << 18])
def test_numbers_are_scaled_alike_however_many_together(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(images, "_BLOCK", block)
    values = np.random.default_rng(0).normal(100, 60, (37, 21))
    wanted = np.rint(np.interp(values, (20, 180), (0, 255)))
    np.testing.assert_array_equal(images.to_grey(values, 20, 180), wanted)
    colours = np.stack([values] * 3, axis=2)
    np.testing.assert_array_equal(images.to_grey(colours, 20, 180)[..., 1], wanted)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
def test_numbers_become_pixels_without_copies_of_eight_bytes_each(dtype: str) -> None:
    values = np.zeros((2000, 1000, 3), dtype)
    for decode in (images.from_numbers, lambda values: images.to_grey(values, 0, 255)):
        tracemalloc.start()
        try:
            decode(values)
            # The result is a byte each; a block of rows and Pillow's bytes come on top.
            assert tracemalloc.get_traced_memory()[1] < 3 * values.size
        finally:
            tracemalloc.stop()


_WITH_LITTLE_MEMORY = """
import resource, sys
from brain_tumor import dicom, images
images.decode(open(sys.argv[2], "rb").read())  # what Pillow imports late
data = open(sys.argv[1], "rb").read()
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 20_000_000,) * 2)
try:
    dicom.decode_dicom(data).decode(0) if images.is_dicom(data[:132]) else images.decode(data)
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "DICOM", "DICOM with JPEG"])
def test_memory_that_runs_out_is_not_called_a_damaged_file(kind: str, tmp_path: Path) -> None:
    black = np.zeros((7000, 7000), np.uint8)
    header: dict[str, Any] = {"Rows": 7000, "Columns": 7000, "SamplesPerPixel": 1}
    header |= {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    header |= {"PhotometricInterpretation": "MONOCHROME2"}
    large, small = tmp_path / "large", tmp_path / "small"
    small.write_bytes(encode(GREY, "JPEG"))
    large.write_bytes(
        {
            "DICOM": lambda: dicom(black),
            "DICOM with JPEG": lambda: dicom([encode(black, "JPEG")], JPEGBaseline8Bit, **header),
        }.get(kind, lambda: encode(black, kind))()
    )
    command = [sys.executable, "-c", _WITH_LITTLE_MEMORY, str(large), str(small)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "MemoryError\n"), result.stderr


@pytest.mark.parametrize(
    ("spacing", "shape"),
    [((1, 1), (64, 96)), ((2, 1), (128, 96)), ((1, 2), (64, 192)), ((0.3, 0.3), (64, 96))],
)
def test_pixels_become_square_by_filling_up_the_coarser_direction(
    spacing: tuple[float, float], shape: tuple[int, int]
) -> None:
    square = images.with_square_pixels(GREY, spacing)
    assert square.shape == images.square_shape(64, 96, spacing, images.MAX_PIXELS) == shape
    assert abs(float(square.mean()) - float(GREY.mean())) < 2


@pytest.mark.parametrize(
    "spacing", [(0, 1), (1, -1), (float("nan"), 1), (float("inf"), 1), (1, 21)]
)
def test_a_spacing_that_no_scan_has_is_refused(spacing: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="no pixels of a scan"):
        images.square_shape(64, 96, spacing, images.MAX_PIXELS)


def test_pixels_are_counted_before_and_after_they_become_square() -> None:
    for spacing in ((1, 1), (1, 2)):
        with pytest.raises(ImageTooLargeError):
            images.square_shape(64, 96, spacing, 64 * 96 * int(spacing[1]) - 1)


def test_a_damaged_medical_file_is_an_error_that_does_not_quote_it() -> None:
    with (
        pytest.raises(ImageError, match="The DICOM file is damaged") as caught,
        images.reading("DICOM"),
    ):
        raise ValueError("Jane Doe is no number")
    assert "Jane" not in str(caught.value)
    # Nor does a traceback show it.
    assert caught.value.__suppress_context__
