"""serving.payloads: request bodies in, reply bodies out."""

import base64
import io
import json
import pickle
import struct
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from brain_tumor import images
from brain_tumor.errors import (
    BrainTumorError,
    ImageError,
    ImageTooLargeError,
    PayloadError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)
from brain_tumor.serving.classifier import Prediction
from brain_tumor.serving.payloads import (
    CSV,
    IMAGE_TYPES,
    JSON,
    JSON_LINES,
    NPY,
    Entry,
    Item,
    error_body,
    read_items,
    write_reply,
)
from tests.scans import encode, jpeg, noise, png

GREY = noise(0)
MAX_IMAGES = 100
MAX_PIXELS = 1_000_000
Array = NDArray[Any]
no_deadline = settings(deadline=None, max_examples=100)


def _read(body: bytes, content_type: str) -> list[Item]:
    return list(read_items(body, content_type, MAX_PIXELS, MAX_IMAGES))


def _pixels(items: list[Item]) -> list[Array]:
    assert not [item for item in items if isinstance(item, ImageError)]
    return [item for item in items if not isinstance(item, ImageError)]


def _npy(array: Array) -> bytes:
    data = io.BytesIO()
    np.save(data, array)
    return data.getvalue()


def _npy_header(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    text = header.encode("latin1")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def _json(*instances: Any) -> bytes:
    return json.dumps({"instances": instances}).encode()


def _b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


# --- Encoded images ---


@pytest.mark.parametrize("content_type", [*IMAGE_TYPES, "image/x-portable", "image/heic"])
@pytest.mark.parametrize("kind", images.FORMATS)
def test_an_image_is_recognised_by_its_bytes_whatever_image_type_it_is_called(
    content_type: str, kind: str
) -> None:
    data = encode(GREY, kind)
    (decoded,) = _pixels(_read(data, content_type))
    np.testing.assert_array_equal(decoded, images.decode(data))


@pytest.mark.parametrize("content_type", ["", "application/octet-stream"])
@pytest.mark.parametrize(
    "body",
    [png(0), _npy(GREY), _json(_b64(png(0))), b" \n" + _json(_b64(png(0)))],
    ids=["image", "npy", "json", "json after white space"],
)
def test_a_missing_or_general_type_is_recognised_by_its_first_bytes(
    content_type: str, body: bytes
) -> None:
    (decoded,) = _pixels(_read(body, content_type))
    np.testing.assert_array_equal(decoded, GREY)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/pdf", "video/mp4", "json"],
)
def test_another_type_is_a_415_that_names_what_is_read(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=r"image/jpeg.*application/json") as caught:
        _read(jpeg(0), content_type)
    assert (caught.value.status, repr(content_type) in str(caught.value)) == (415, True)


@pytest.mark.parametrize("content_type", ["", "image/jpeg", JSON, NPY, "text/plain"])
def test_an_empty_body_is_named_with_its_usual_cause(content_type: str) -> None:
    with pytest.raises(PayloadError, match=r"body is empty.*--data-binary @FILE") as caught:
        _read(b"", content_type)
    assert caught.value.status == 400


def test_a_truncated_image_is_a_400_and_names_the_cause() -> None:
    with pytest.raises(ImageError, match="truncated upload") as caught:
        _read(png(0)[:500], "image/png")
    assert caught.value.status == 400


def test_too_many_pixels_are_a_413() -> None:
    with pytest.raises(ImageTooLargeError) as caught:
        read_items(png(0), "image/png", GREY.size - 1, MAX_IMAGES)
    assert caught.value.status == 413


# --- JSON ---


def test_json_takes_base64_and_numbers_in_one_request_in_order() -> None:
    colour = np.repeat(GREY[..., np.newaxis], 3, axis=2)
    body = _json(
        _b64(png(1)),
        GREY.tolist(),
        GREY[..., np.newaxis].tolist(),
        colour.tolist(),
        (GREY + 0.25).clip(max=255).tolist(),
    )
    decoded = _pixels(_read(body, JSON))
    for pixels, wanted in zip(decoded, [noise(1), GREY, GREY, GREY, GREY], strict=True):
        np.testing.assert_array_equal(pixels, wanted)


def test_other_keys_of_json_are_ignored_as_tensorflow_serving_does() -> None:
    document = {"signature_name": "serving_default", "instances": [_b64(png(0))]}
    assert len(_pixels(_read(json.dumps(document).encode(), JSON))) == 1


@pytest.mark.parametrize(
    "body",
    [b"{", b"no json", b'{"instances": [1,}', b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000],
)
def test_a_body_that_is_no_json_is_named(body: bytes) -> None:
    with pytest.raises(PayloadError, match="The body is no JSON"):
        _read(body, JSON)


@pytest.mark.parametrize(
    "document", [{}, [], "text", 3, None, {"instances": []}, {"instances": {}}, {"inputs": [[1]]}]
)
def test_json_without_instances_says_what_was_wanted(document: Any) -> None:
    with pytest.raises(PayloadError, match=r'no list "instances", or an empty one.*b64'):
        _read(json.dumps(document).encode(), JSON)


BAD_INSTANCES: list[tuple[Any, str]] = [
    ([[1, 2], [3]], "ragged"),
    ([[1, 2], 3], "ragged"),
    ([["a", "b"], ["c", "d"]], "no numbers"),
    ([[{}]], "no numbers"),
    ([[10**400]], "no numbers"),
    ([[float("nan"), 1]], "finite"),
    ([[float("inf"), 1]], "finite"),
    ([[None, 1]], "no numbers"),
    ([["1", "2"]], "no numbers"),
    ([[-1, 0]], "from 0 to 255"),
    ([[256, 0]], "from 0 to 255"),
    ([1, 2, 3], r"shape \(3,\) are no image"),
    ([[[1, 2]]], r"shape \(1, 1, 2\) are no image"),
    ([], "are no image"),
    ([[]], "are no image"),
    (3, "neither"),
    ("text", "neither"),
    (None, "neither"),
    ({"b64": 3}, "neither"),
    ({"image": "x"}, "neither"),
    ({"b64": "***"}, "not base64"),
    ({"b64": "äö"}, "not base64"),
    ({"b64": ""}, "empty"),
    (_b64(b"<html>"), "no image"),
    (_b64(png(0)[:300]), "damaged"),
]


@pytest.mark.parametrize(("instance", "cause"), BAD_INSTANCES)
def test_a_request_whose_only_instance_is_bad_is_a_400_with_the_cause(
    instance: Any, cause: str
) -> None:
    with pytest.raises(ImageError, match=cause) as caught:
        _read(_json(instance), JSON)
    assert caught.value.status == 400


def test_one_bad_instance_fails_alone_and_order_is_kept() -> None:
    bad = [instance for instance, _ in BAD_INSTANCES]
    instances = [part for number, one in enumerate(bad) for part in (one, _b64(png(number)))]
    items = _read(_json(*instances), JSON)
    assert len(items) == 2 * len(bad)
    for failed, (_, cause) in zip(items[::2], BAD_INSTANCES, strict=True):
        with pytest.raises(ImageError, match=cause):
            raise failed if isinstance(failed, ImageError) else AssertionError(failed)
    for number, pixels in enumerate(_pixels(items[1::2])):
        np.testing.assert_array_equal(pixels, noise(number))


def test_one_image_of_a_batch_that_is_too_large_fails_alone() -> None:
    body = _json(_b64(png(0, 32)), _b64(png(0, 64)))
    small, large = read_items(body, JSON, 32 * 48, MAX_IMAGES)
    assert not isinstance(small, ImageError)
    assert isinstance(large, ImageTooLargeError)


# --- npy ---


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
    decoded = _pixels(_read(_npy(array.astype(dtype)), NPY))
    assert len(decoded) == count
    for pixels in decoded:
        np.testing.assert_array_equal(pixels, GREY)


def test_npy_in_fortran_order_is_the_same_image() -> None:
    body = _npy(np.asfortranarray(GREY))
    assert b"'fortran_order': True" in body
    np.testing.assert_array_equal(_pixels(_read(body, NPY))[0], GREY)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20)), st.booleans())
@no_deadline
def test_numbers_come_out_of_npy_as_they_went_in(pixels: Array, fortran: bool) -> None:
    body = _npy(np.asfortranarray(pixels) if fortran else pixels)
    np.testing.assert_array_equal(_pixels(_read(body, NPY))[0], pixels)


def test_one_bad_scan_of_an_npy_batch_fails_alone() -> None:
    scans = np.stack([GREY] * 3).astype(np.float32)
    scans[1, 0, 0] = np.nan
    first, second, third = _read(_npy(scans), NPY)
    assert isinstance(second, ImageError)
    np.testing.assert_array_equal(_pixels([first, third]), [GREY, GREY])


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
        _read(_npy(array), NPY)
    assert str(array.shape) in str(caught.value)


def test_a_billion_scans_without_pixels_are_refused_unread() -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 0, 5)}"
    with pytest.raises(PayloadError, match=r"has shape \(1000000000, 0, 5\)"):
        _read(_npy_header(header), NPY)


class _Exploit:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('a pickle was run')",))


def test_npy_with_a_pickle_in_it_is_refused_and_not_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = _npy(np.array([[_Exploit()]], dtype=object))
    assert b"a pickle was run" in body
    with pytest.raises(PayloadError, match=r"holds object; wanted numbers 0-255 \(no pickle\)"):
        _read(body, NPY)
    with pytest.raises(ImageError):
        _read(pickle.dumps(_Exploit()), "")


@pytest.mark.parametrize("dtype", ["complex64", "S4", "U4", "datetime64[s]", "V8", "u1,u1"])
def test_npy_of_no_numbers_is_a_400_with_its_type(dtype: str) -> None:
    with pytest.raises(PayloadError, match="wanted numbers 0-255"):
        _read(_npy(np.zeros((4, 4), dtype)), NPY)


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
        _read(_npy_header(header, bytes(given)), NPY)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("shape", ["(-4, -5)", "(True, 20)", "(-1, -20)"])
def test_an_npy_header_with_an_impossible_shape_is_a_400(shape: str) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"
    with pytest.raises(PayloadError, match="which is no shape"):
        _read(_npy_header(header, bytes(20)), NPY)


@pytest.mark.parametrize(
    "body",
    [
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x09\x09\x00\x00",
        _npy(GREY)[:40],
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
        _read(body, NPY)


def test_npy_of_version_2_is_read() -> None:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {GREY.shape}}}"
    body = _npy_header(header, GREY.tobytes(), (2, 0))
    np.testing.assert_array_equal(_pixels(_read(body, NPY))[0], GREY)


# --- Any body at all ---

_prefixes = st.sampled_from(
    [b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", _npy(GREY)[:60], b'{"instances": [', jpeg(0)]
)


@given(_prefixes, st.binary(max_size=200), st.sampled_from(["", JSON, NPY, "image/png"]))
@no_deadline
def test_whatever_the_body_the_answer_is_scans_or_a_4xx(
    prefix: bytes, rest: bytes, content_type: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status = 200 if _read(prefix + rest, content_type) else 500
        except BrainTumorError as error:
            status = error.status
    assert status == 200 or 400 <= status < 500


# --- Replies ---

PREDICTIONS = [
    Prediction("glioma", 0.75, {"glioma": 0.75, "notumor": 0.25}, "confident"),
    Prediction("notumor", 0.6, {"glioma": 0.4, "notumor": 0.6}, "uncertain"),
]
MIXED: list[Entry] = [PREDICTIONS[0], ImageError("The second, one."), PREDICTIONS[1]]
WRITTEN = [
    {
        "label": "glioma",
        "probability": 0.75,
        "probabilities": {"glioma": 0.75, "notumor": 0.25},
        "decision": "confident",
    },
    {"error": {"code": "unreadable_image", "message": "The second, one."}},
    {
        "label": "notumor",
        "probability": 0.6,
        "probabilities": {"glioma": 0.4, "notumor": 0.6},
        "decision": "uncertain",
    },
]


def test_json_has_one_entry_an_image_in_order_and_errors_in_their_place() -> None:
    assert json.loads(write_reply(MIXED, JSON, 2)) == {"predictions": WRITTEN}


def test_json_lines_have_one_entry_a_line_and_a_newline_at_the_end() -> None:
    reply = write_reply(MIXED, JSON_LINES, 2)
    assert reply.endswith("\n")
    assert [json.loads(line) for line in reply.splitlines()] == WRITTEN


def test_csv_has_the_probabilities_of_one_image_a_line_and_no_header() -> None:
    assert write_reply(PREDICTIONS, CSV, 2) == "0.750000,0.250000\n0.400000,0.600000\n"


def test_csv_keeps_the_line_of_an_image_that_could_not_be_read() -> None:
    first, second, third = write_reply(MIXED, CSV, 2).splitlines()
    assert (first, third) == ("0.750000,0.250000", "0.400000,0.600000")
    # As many fields as the others have, all empty.
    assert second == ","


@pytest.mark.parametrize(
    "text", ["short", "x" * 5000, "ÿ" * 5000, "\\" * 5000, '"' * 5000, "🧠" * 900]
)
def test_an_error_is_short_enough_for_the_platform_whatever_it_quotes(text: str) -> None:
    body = json.dumps(error_body(UnsupportedMediaTypeError(text)))
    assert len(body.encode()) < 2048
    assert json.loads(body)["error"]["code"] == "unsupported_content_type"


def test_an_error_begins_with_its_sentence() -> None:
    assert error_body(PayloadError("The body is empty.")) == {
        "error": {"code": "unreadable_body", "message": "The body is empty."}
    }


def test_more_images_than_the_limit_are_a_413_before_any_is_decoded() -> None:
    npy = io.BytesIO()
    np.save(npy, np.zeros((MAX_IMAGES + 1, 2, 2), np.uint8))
    body = json.dumps({"instances": ["no image"] * (MAX_IMAGES + 1)}).encode()
    for content, kind in ((body, JSON), (npy.getvalue(), NPY)):
        with pytest.raises(PayloadTooLargeError, match=f"holds {MAX_IMAGES + 1} images"):
            _read(content, kind)


def test_scans_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def decode(data: bytes, max_pixels: int) -> images.Pixels:
        decoded.append(data)
        return GREY

    monkeypatch.setattr(images, "decode", decode)
    encoded = [{"b64": base64.b64encode(png(n)).decode()} for n in range(3)]
    items = read_items(json.dumps({"instances": encoded}).encode(), JSON, MAX_PIXELS, MAX_IMAGES)
    next(items)
    assert len(decoded) == 1


def test_long_text_among_numbers_takes_no_memory_of_its_length_for_each() -> None:
    instance = ["a" * 100_000, *["b"] * 2_000]
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="no numbers"):
            _read(json.dumps({"instances": [instance]}).encode(), JSON)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
