"""serving.payloads: which body is read how."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_tumor import images
from brain_tumor.errors import (
    BrainTumorError,
    ImageError,
    ImageTooLargeError,
    PayloadError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)
from brain_tumor.serving.payloads import IMAGE_TYPES, JSON, JSON_LINES, NPY, read_body
from tests.bodies import MAX_IMAGES, MAX_PIXELS, b64, body_of, instances, npy, pixels_of, read
from tests.scans import encode, jpeg, noise, png

GREY = noise(0)
no_deadline = settings(deadline=None, max_examples=100)


# --- Encoded images ---


@pytest.mark.parametrize("content_type", [*IMAGE_TYPES, "image/x-portable", "image/heic"])
@pytest.mark.parametrize("kind", images.FORMATS)
def test_an_image_is_recognised_by_its_bytes_whatever_image_type_it_is_called(
    content_type: str, kind: str
) -> None:
    data = encode(GREY, kind)
    (decoded,) = pixels_of(read(data, content_type))
    np.testing.assert_array_equal(decoded, images.decode(data))


@pytest.mark.parametrize("content_type", ["", "application/octet-stream"])
@pytest.mark.parametrize(
    "body",
    [png(0), npy(GREY), instances(b64(png(0))), b" \n" + instances(b64(png(0)))],
    ids=["image", "npy", "json", "json after white space"],
)
def test_a_missing_or_general_type_is_recognised_by_its_first_bytes(
    content_type: str, body: bytes
) -> None:
    (decoded,) = pixels_of(read(body, content_type))
    np.testing.assert_array_equal(decoded, GREY)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/pdf", "video/mp4", "json"],
)
def test_another_type_is_a_415_that_names_what_isread(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=r"image/jpeg.*application/json") as caught:
        read(jpeg(0), content_type)
    assert (caught.value.status, repr(content_type) in str(caught.value)) == (415, True)


@pytest.mark.parametrize("content_type", ["", "image/jpeg", JSON, NPY, "text/plain"])
def test_an_empty_body_is_named_with_its_usual_cause(content_type: str) -> None:
    with pytest.raises(PayloadError, match=r"body is empty.*--data-binary @FILE") as caught:
        read(b"", content_type)
    assert caught.value.status == 400


def test_a_truncated_image_is_a_400_and_names_the_cause() -> None:
    with pytest.raises(ImageError, match="truncated upload") as caught:
        read(png(0)[:500], "image/png")
    assert caught.value.status == 400


def test_too_many_pixels_are_a_413() -> None:
    with pytest.raises(ImageTooLargeError) as caught:
        read_body(body_of(png(0), "image/png"), GREY.size - 1, MAX_IMAGES)
    assert caught.value.status == 413


# --- Any body at all ---

_prefixes = st.sampled_from(
    [b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", npy(GREY)[:60], b'{"instances": [', jpeg(0)]
)


@given(
    _prefixes, st.binary(max_size=200), st.sampled_from(["", JSON, JSON_LINES, NPY, "image/png"])
)
@no_deadline
def test_whatever_the_body_the_answer_is_scans_or_a_4xx(
    prefix: bytes, rest: bytes, content_type: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status = 200 if read(prefix + rest, content_type) else 500
        except BrainTumorError as error:
            status = error.status
    assert status == 200 or 400 <= status < 500


def test_more_images_than_the_limit_are_a_413_before_any_is_decoded() -> None:
    bodies = {
        JSON: instances(*["no image"] * (MAX_IMAGES + 1)),
        JSON_LINES: b"no image\n" * MAX_IMAGES + b"no image",
        NPY: npy(np.zeros((MAX_IMAGES + 1, 2, 2), np.uint8)),
    }
    for kind, content in bodies.items():
        with pytest.raises(PayloadTooLargeError, match=f"holds {MAX_IMAGES + 1} images"):
            read(content, kind)


def test_scans_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def decode(data: bytes, max_pixels: int) -> images.Pixels:
        decoded.append(data)
        return GREY

    monkeypatch.setattr(images, "decode", decode)
    body = body_of(instances(*(b64(png(n)) for n in range(3))), JSON)
    next(read_body(body, MAX_PIXELS, MAX_IMAGES).items)
    assert len(decoded) == 1


# --- Batch Transform ---


@pytest.mark.parametrize("line", [b"no json\n", b"\n", b'{"b64": ""}', b"[[300]]\n", b"\xff\n"])
def test_the_only_line_of_batch_transform_is_a_placeholder_and_elsewhere_a_400(line: bytes) -> None:
    (item,) = read(line, JSON_LINES, batch=True)
    assert isinstance(item, ImageError)
    with pytest.raises(ImageError):
        read(line, JSON_LINES)


@pytest.mark.parametrize(("body", "content_type"), [(b"no", "image/png"), (b"{}", JSON), (b"", "")])
def test_what_is_no_line_is_a_400_in_batch_transform_too(body: bytes, content_type: str) -> None:
    with pytest.raises(BrainTumorError) as caught:
        read(body, content_type, batch=True)
    assert caught.value.status == 400
