"""dicom: files of scanners and archives to grey pixels."""

import io
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from contextlib import suppress
from typing import Any

import jpeg_ls
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.encaps import get_frame

from brain_tumor import dicom_codecs
from brain_tumor.dicom import decode_dicom
from brain_tumor.errors import ImageError, ImageTooLargeError
from brain_tumor.images import PERCENTILES, Pixels, is_dicom
from tests.lossless import encode as encode_lossless
from tests.medical import PYDICOM_FILES, dicom, item
from tests.scans import encode, noise

GREY = noise(0, 32)
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
FULL: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}
Array = NDArray[Any]


def _decode(data: bytes) -> Pixels:
    slices = decode_dicom(data)
    assert slices.count == 1
    return slices.decode(0)


def _read(name: str, **tags: Any) -> bytes:
    """Give one of pydicom's files, as MR, with other tags."""
    file = pydicom.dcmread(PYDICOM_FILES / name)
    for tag, value in {"Modality": "MR", **tags}.items():
        setattr(file, tag, value)
    stream = io.BytesIO()
    file.save_as(stream)
    return stream.getvalue()


def _linear(values: Array, black: float, white: float) -> Array:
    grey: Array = np.rint(np.interp(values, (black, white), (0, 255))).astype(np.uint8)
    return grey


# --- What is shown black and white ---


def test_eight_bits_behind_a_full_window_come_out_as_they_are() -> None:
    np.testing.assert_array_equal(_decode(dicom(GREY, **FULL)), GREY)


def test_a_window_is_applied_as_the_norm_says() -> None:
    # PS3.3, C.11.2.1.2.1: center and width count from the middle of the first and last value.
    decoded = _decode(dicom(RAMP, WindowCenter=2048, WindowWidth=1001))
    np.testing.assert_array_equal(decoded, _linear(RAMP, 2048 - 0.5 - 500, 2048 - 0.5 + 500))


def test_linear_exact_and_sigmoid_windows_are_told_apart() -> None:
    window: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 1000}
    exact = _decode(dicom(RAMP, VOILUTFunction="LINEAR_EXACT", **window))
    np.testing.assert_array_equal(exact, _linear(RAMP, 1548, 2548))
    sigmoid = _decode(dicom(RAMP, VOILUTFunction="SIGMOID", **window))
    wanted = 255 / (1 + np.exp(-4 * (RAMP - 2048.0) / 1000))
    np.testing.assert_array_equal(sigmoid, np.rint(wanted).astype(np.uint8))


def test_of_several_windows_the_first_is_taken() -> None:
    both = dicom(RAMP, WindowCenter=[1000, 3000], WindowWidth=[500, 100])
    first = dicom(RAMP, WindowCenter=1000, WindowWidth=500)
    np.testing.assert_array_equal(_decode(both), _decode(first))


@pytest.mark.parametrize(
    "window",
    [{}, {"WindowCenter": 2048, "WindowWidth": 0}, {"WindowCenter": None, "WindowWidth": 100}],
    ids=["none", "of no width", "without a center"],
)
def test_without_a_usable_window_percentiles_become_black_and_white(window: Any) -> None:
    low, high = np.percentile(RAMP, PERCENTILES)
    np.testing.assert_array_equal(_decode(dicom(RAMP, **window)), _linear(RAMP, low, high))


def test_the_window_is_meant_in_rescaled_values() -> None:
    rescaled = dicom(
        RAMP, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=2001
    )
    wanted = _linear(RAMP * 2.0 - 1000, 1000 - 0.5 - 1000, 1000 - 0.5 + 1000)
    np.testing.assert_array_equal(_decode(rescaled), wanted)


def test_signed_values_are_signed() -> None:
    signed = (RAMP.astype(np.int16) - 2048).astype(np.int16)
    decoded = _decode(dicom(signed, WindowCenter=0, WindowWidth=4097))
    np.testing.assert_array_equal(decoded, _linear(signed, -0.5 - 2048, -0.5 + 2048))


def test_lookup_tables_of_modality_and_window_are_applied() -> None:
    falling = np.arange(256, dtype="<u2")[::-1]
    table: dict[str, Any] = {"LUTDescriptor": [256, 0, 16], "LUTData": falling.tobytes()}
    modality = dicom(GREY, ModalityLUTSequence=item(ModalityLUTType="US", **table), **FULL)
    np.testing.assert_array_equal(_decode(modality), 255 - GREY)
    squares: dict[str, Any] = {
        "LUTDescriptor": [256, 0, 16],
        "LUTData": (falling[::-1] ** 2).tobytes(),
    }
    voi = dicom(GREY, VOILUTSequence=item(**squares), **FULL)
    np.testing.assert_array_equal(_decode(voi), _linear(GREY.astype(float) ** 2, 0, 65535))


def test_monochrome1_is_inverted() -> None:
    inverted = dicom(GREY, PhotometricInterpretation="MONOCHROME1", **FULL)
    np.testing.assert_array_equal(_decode(inverted), 255 - GREY)


def test_colours_become_grey_as_those_of_an_image_do() -> None:
    colours = np.stack([noise(n, 16) for n in range(3)], axis=2)
    wanted = np.asarray(Image.fromarray(colours).convert("L"))
    np.testing.assert_array_equal(_decode(dicom(colours)), wanted)
    ybr = np.asarray(Image.fromarray(colours).convert("YCbCr"))
    difference = _decode(dicom(ybr, PhotometricInterpretation="YBR_FULL")).astype(int) - wanted
    assert np.abs(difference).max() <= 3


def test_a_palette_is_looked_up() -> None:
    table = np.arange(256, dtype=np.uint8)[::-1].tobytes()
    palette: dict[str, Any] = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 8]), ("Data", table))
    }
    decoded = _decode(dicom(GREY, PhotometricInterpretation="PALETTE COLOR", **palette))
    np.testing.assert_array_equal(decoded, 255 - GREY)


def test_pixels_become_square_so_that_anatomy_keeps_its_shape() -> None:
    assert _decode(dicom(GREY, PixelSpacing=[1.5, 0.5])).shape == (96, 48)
    assert _decode(dicom(GREY, PixelSpacing=[0.5, 1])).shape == (32, 96)
    assert _decode(dicom(GREY, PixelAspectRatio=[2, 1])).shape == (64, 48)


@pytest.mark.parametrize("spacing", [[1, 0], [-1, 1], [1, 1000]])
def test_a_spacing_that_no_scan_has_is_named(spacing: list[float]) -> None:
    with pytest.raises(ImageError, match="no pixels of a scan") as caught:
        decode_dicom(dicom(GREY, PixelSpacing=spacing))
    assert caught.value.status == 400


# --- Transfer syntaxes ---

SOURCES = ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm")


@pytest.mark.parametrize(
    "name", [*SOURCES, "MR_small_bigendian.dcm", "MR_small_implicit.dcm", "MR_small_padded.dcm"]
)
def test_every_encoding_of_one_scan_gives_the_same_pixels(name: str) -> None:
    wanted = _decode((PYDICOM_FILES / "MR_small.dcm").read_bytes())
    np.testing.assert_array_equal(_decode((PYDICOM_FILES / name).read_bytes()), wanted)


@pytest.mark.parametrize("syntax", [uid.JPEGLossless, uid.JPEGLosslessSV1])
def test_jpeg_lossless_of_16_signed_bits_gives_the_same_pixels(syntax: str) -> None:
    signed = (RAMP.astype(np.int16) * 15 - 30000).astype(np.int16)
    frame = encode_lossless(signed.view(np.uint16)[..., np.newaxis], 16, 1)
    lossless = dicom([frame], syntax, **_tags_of(signed))
    np.testing.assert_array_equal(_decode(lossless), _decode(dicom(signed)))


@pytest.mark.parametrize(
    ("compressed", "plain", "tolerance"),
    [
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm", 0),
        ("SC_rgb_gdcm_KY.dcm", "SC_rgb_rle.dcm", 4),
        ("SC_rgb_jls_lossy_line.dcm", "SC_rgb_rle.dcm", 4),
        ("SC_rgb_jls_lossy_sample.dcm", "SC_rgb_rle.dcm", 4),
        ("SC_rgb_rle_16bit.dcm", "SC_rgb_rle.dcm", 1),
        ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm", 4),
        ("SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_rle.dcm", 4),
        ("SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_rle.dcm", 4),
    ],
)
def test_colours_of_every_codec_and_colour_space_give_the_same_grey(
    compressed: str, plain: str, tolerance: int
) -> None:
    difference = _decode(_read(compressed)).astype(int) - _decode(_read(plain))
    # Edges of flat colours ring in lossy codecs.
    assert np.percentile(np.abs(difference), 90) <= tolerance


def test_deflated_files_are_read() -> None:
    file = PYDICOM_FILES / "image_dfl.dcm"
    assert _decode(_read(file.name)).shape == (512, 512)


def test_lossy_jpeg_of_8_bits_is_read_and_of_12_is_refused_with_its_reason() -> None:
    frame = encode(GREY, "JPEG", quality=95)
    tags = _tags_of(GREY)
    decoded = _decode(dicom([frame], uid.JPEGExtended12Bit, **tags, **FULL))
    assert np.abs(decoded.astype(int) - GREY).mean() < 4
    with pytest.raises(ImageError, match="lossy JPEG of 12 bits"):
        _decode(_read("JPGExtended.dcm"))


def _tags_of(pixels: Array) -> dict[str, Any]:
    file = pydicom.dcmread(io.BytesIO(dicom(pixels)))
    return {tag.keyword: tag.value for tag in file if tag.keyword != "PixelData"}


@pytest.mark.parametrize(
    ("syntax", "named"),
    [(uid.MPEG2MPML, "MPEG2 Main Profile"), (b"1.2.840.99999.1.2.4.100", "unknown")],
    ids=["video", "private"],
)
def test_another_transfer_syntax_is_named_with_what_is_read(syntax: Any, named: str) -> None:
    video = dicom([bytes(100)], uid.MPEG2MPML, **_tags_of(GREY))
    private = video.replace(uid.MPEG2MPML.encode(), syntax) if isinstance(syntax, bytes) else video
    with pytest.raises(ImageError, match=rf"syntax is not read: {named}.*Wanted") as caught:
        decode_dicom(private)
    assert caught.value.status == 400


# --- Frames ---


def test_frames_are_decoded_one_at_a_time_in_order() -> None:
    frames = np.stack([noise(n, 16) for n in range(5)])
    slices = decode_dicom(dicom(frames, **FULL))
    assert slices.count == 5
    for index in (3, 0, 4):
        np.testing.assert_array_equal(slices.decode(index), frames[index])


def test_frames_of_enhanced_files_have_their_own_window_and_spacing() -> None:
    frames = np.stack([RAMP, RAMP])
    windows = [(1000, 501), (3000, 101)]
    groups = [
        *item(FrameVOILUTSequence=item(WindowCenter=windows[0][0], WindowWidth=windows[0][1])),
        *item(FrameVOILUTSequence=item(WindowCenter=windows[1][0], WindowWidth=windows[1][1])),
    ]
    slices = decode_dicom(
        dicom(
            frames,
            SharedFunctionalGroupsSequence=item(
                PixelMeasuresSequence=item(PixelSpacing=[2, 1]),
                PixelValueTransformationSequence=item(RescaleSlope=1, RescaleIntercept=0),
            ),
            PerFrameFunctionalGroupsSequence=groups,
        )
    )
    for index, (center, width) in enumerate(windows):
        wanted = _decode(dicom(RAMP, WindowCenter=center, WindowWidth=width, PixelSpacing=[2, 1]))
        np.testing.assert_array_equal(slices.decode(index), wanted)


def test_one_damaged_frame_fails_alone() -> None:
    frames = [encode(noise(n, 32), "JPEG") for n in range(3)]
    frames[1] = frames[1][:300]
    slices = decode_dicom(dicom(frames, uid.JPEGBaseline8Bit, **_tags_of(GREY)))
    assert slices.decode(0).shape == slices.decode(2).shape == GREY.shape
    with pytest.raises(ImageError, match="damaged"):
        slices.decode(1)


# --- What is refused ---


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no DICOM file"),
        (b"no DICOM at all", "DICOM file"),
        (encode(GREY, "JPEG"), "DICOM file"),
        (dicom(GREY, Modality="US"), "of modality US; wanted MR"),
        (dicom(GREY, Modality="SR", PixelData=None), "of modality SR; wanted MR"),
        (dicom(GREY, Modality="RTPLAN", PixelData=None), "of modality RTPLAN; wanted MR"),
        (dicom(GREY, Modality="DOE JANE"), "of another modality; wanted MR"),
        (dicom(GREY, Modality=None), "of no modality; wanted MR"),
        (dicom(GREY, PixelData=None), "holds no image"),
        (dicom(GREY, Rows=None), "holds no image"),
        (dicom(GREY, NumberOfFrames=-1), "no frames"),
    ],
)
def test_what_is_no_scan_is_refused_with_its_reason(data: bytes, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence) as caught:
        decode_dicom(data)
    assert caught.value.status == 400


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_an_error(share: float) -> None:
    data = dicom(GREY, **FULL)
    with pytest.raises(ImageError):
        _decode(data[: int(len(data) * share)])


def test_too_many_pixels_are_seen_from_the_header_alone() -> None:
    tags = {**_tags_of(GREY), "Rows": 60_000, "Columns": 60_000}
    with pytest.raises(ImageTooLargeError, match="60000 x 60000") as caught:
        decode_dicom(dicom([b"no frame"], uid.JPEGBaseline8Bit, **tags))
    assert caught.value.status == 413
    with pytest.raises(ImageTooLargeError):
        decode_dicom(dicom(GREY, PixelSpacing=[10, 1]), max_pixels=2 * GREY.size)


def test_a_frame_that_is_larger_than_its_file_says_is_not_decoded() -> None:
    for kind, syntax in (("JPEG", uid.JPEGBaseline8Bit), ("JPEG2000", uid.JPEG2000Lossless)):
        options: dict[str, Any] = {"no_jp2": True} if kind == "JPEG2000" else {}
        large = encode(np.zeros((3000, 3000), np.uint8), kind, **options)
        tracemalloc.start()
        try:
            with pytest.raises(ImageError, match="damaged"):
                _decode(dicom([large], syntax, **_tags_of(GREY)))
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()


def _with_components(frame: bytes, count: int) -> bytes:
    """Make a frame of one component announce several, each like its own."""
    if frame.startswith(b"\xff\x4f"):  # JPEG 2000: behind SOC is SIZ (ITU-T T.800, A.5.1)
        size = 38 + 3 * count
        siz = frame[2:4] + struct.pack(">H", size) + frame[6:40] + struct.pack(">H", count)
        return frame[:2] + siz + frame[42:45] * count + frame[45:]
    start = frame.index(b"\xff\xf7")  # JPEG-LS (ITU-T T.87, C.2.2)
    components = b"".join(bytes([number, 0x11, 0]) for number in range(1, count + 1))
    head = struct.pack(">H", 8 + 3 * count) + frame[start + 4 : start + 9] + bytes([count])
    return frame[: start + 2] + head + components + frame[start + 13 :]


@pytest.mark.parametrize(
    ("frame", "syntax"),
    [
        (encode(GREY, "JPEG2000", no_jp2=True), uid.JPEG2000Lossless),
        (bytes(jpeg_ls.encode_array(GREY)), uid.JPEGLSLossless),
        (encode_lossless(np.zeros((*GREY.shape, 2), np.uint16), 8, 1), uid.JPEGLosslessSV1),
        (encode(np.stack([GREY] * 3, axis=2), "JPEG"), uid.JPEGBaseline8Bit),
    ],
    ids=["JPEG 2000", "JPEG-LS", "JPEG lossless", "JPEG"],
)
def test_a_frame_of_more_samples_a_pixel_than_its_file_says_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch, frame: bytes, syntax: uid.UID
) -> None:
    shape = (*GREY.shape, 1)
    if syntax in (uid.JPEG2000Lossless, uid.JPEGLSLossless):
        dicom_codecs.require_shape(frame, syntax, shape)
        frame = _with_components(frame, 200)
        dicom_codecs.require_shape(frame, syntax, (*GREY.shape, 200))
    with pytest.raises(ValueError, match="announced"):
        dicom_codecs.require_shape(frame, syntax, shape)
    monkeypatch.setitem(dicom_codecs.DECODERS, syntax, lambda *_: pytest.exit("it was decoded"))
    with pytest.raises(ImageError, match="damaged"):
        _decode(dicom([frame], syntax, **_tags_of(GREY)))


def test_a_second_header_of_a_jpeg_frame_does_not_make_room_for_more() -> None:
    frame = encode(GREY, "JPEG")
    start = frame.index(b"\xff\xc0")
    header = frame[start : start + 13]
    large = header[:5] + struct.pack(">HH", 9000, 9000) + header[9:]
    twice = frame[: start + 13] + large + frame[start + 13 :]
    with pytest.raises(ValueError, match="announced"):
        dicom_codecs.require_shape(twice, uid.JPEGBaseline8Bit, (*GREY.shape, 1))


def test_a_jpeg_ls_frame_gets_no_more_memory_than_its_pixels_need() -> None:
    large = bytes(jpeg_ls.encode_array(np.zeros((500, 60_000), np.uint8)))
    child = [sys.executable, "-I", "-c", dicom_codecs._JPEG_LS, str(2 * GREY.size)]
    for frame, cause in ((large, b"more pixels"), (_with_components(large, 60), b"MemoryError")):
        result = subprocess.run(child, input=frame, capture_output=True, check=False)
        assert result.returncode == 1
        assert cause in result.stderr
        assert not result.stdout


def test_a_deflated_file_is_not_inflated_beyond_the_limit() -> None:
    body = _read("image_dfl.dcm")
    meta = pydicom.dcmread(io.BytesIO(body), stop_before_pixels=True).file_meta
    offset = 132 + 12 + meta.FileMetaInformationGroupLength
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = body[:offset] + deflate.compress(bytes(50_000_000)) + deflate.flush()
    tracemalloc.start()
    try:
        with pytest.raises(ImageTooLargeError, match="holds more than 4 MB"):
            decode_dicom(bomb, max_pixels=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_an_rle_frame_is_not_unpacked_beyond_its_size() -> None:
    segment = b"\x81\x00" * 1_000_000
    header = np.zeros(16, "<u4")
    header[:2] = 1, 64
    tracemalloc.start()
    try:
        _decode(dicom([header.tobytes() + segment], uid.RLELossless, **_tags_of(GREY)))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_jpeg_ls_frame_that_charls_never_ends_with_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dicom_codecs, "_JPEG_LS_SECONDS", 1)
    file = pydicom.dcmread(PYDICOM_FILES / "MR_small_jpeg_ls_lossless.dcm")
    frame = get_frame(file.PixelData, 0, number_of_frames=1)
    tags = {tag.keyword: tag.value for tag in file if tag.keyword in _tags_of(GREY)}
    tags["NumberOfFrames"] = 100
    slices = decode_dicom(dicom([frame[: len(frame) // 2]] * 100, uid.JPEGLSLossless, **tags))
    start = time.monotonic()
    with pytest.raises(ImageError, match="damaged"):
        slices.decode(0)
    # One wait a file, however many frames it has.
    for index in range(1, slices.count):
        with pytest.raises(ImageError, match="not tried, for an earlier one"):
            slices.decode(index)
    assert time.monotonic() - start < 20


def test_a_file_is_known_by_its_first_bytes() -> None:
    assert is_dicom(dicom(GREY)[:132])
    assert not is_dicom(encode(GREY, "PNG"))
    assert not is_dicom(b"")


def test_a_file_without_a_preamble_is_read_where_it_is_called_dicom() -> None:
    data = dicom(GREY, preamble=False, **FULL)
    assert not is_dicom(data)
    np.testing.assert_array_equal(_decode(data), GREY)


WHOLE = [(PYDICOM_FILES / name).read_bytes() for name in ("MR_small.dcm", *SOURCES[:2])]


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(132, 5000), st.integers(0, 255)), min_size=1, max_size=9),
)
@settings(deadline=None, max_examples=200)
def test_whatever_is_damaged_the_answer_is_pixels_or_an_error(
    whole: bytes, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(whole)
    for at, value in changes:
        damaged[at] = value
    with suppress(ImageError):
        slices = decode_dicom(bytes(damaged))
        assert slices.decode(0).dtype == np.uint8
