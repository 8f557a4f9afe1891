"""serving.instances: scans in JSON documents and JSON Lines."""

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from brain_tumor.errors import ImageError, ImageTooLargeError, PayloadError
from brain_tumor.serving.payloads import JSON, read_body
from tests.bodies import MAX_IMAGES, b64, body_of, instances, pixels_of, read
from tests.scans import noise, png

GREY = noise(0)


def test_json_takes_base64_and_numbers_in_one_request_in_order() -> None:
    colour = np.repeat(GREY[..., np.newaxis], 3, axis=2)
    body = instances(
        b64(png(1)),
        GREY.tolist(),
        GREY[..., np.newaxis].tolist(),
        colour.tolist(),
        (GREY + 0.25).clip(max=255).tolist(),
    )
    decoded = pixels_of(read(body, JSON))
    for pixels, wanted in zip(decoded, [noise(1), GREY, GREY, GREY, GREY], strict=True):
        np.testing.assert_array_equal(pixels, wanted)


def test_other_keys_of_json_are_ignored_as_tensorflow_serving_does() -> None:
    document = {"signature_name": "serving_default", "instances": [b64(png(0))]}
    assert len(pixels_of(read(json.dumps(document).encode(), JSON))) == 1


@pytest.mark.parametrize(
    "body",
    [b"{", b"no json", b'{"instances": [1,}', b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000],
)
def test_a_body_that_is_no_json_is_named(body: bytes) -> None:
    with pytest.raises(PayloadError, match="The body is no JSON"):
        read(body, JSON)


@pytest.mark.parametrize(
    "document", [{}, [], "text", 3, None, {"instances": []}, {"instances": {}}, {"inputs": 3}]
)
def test_json_without_instances_says_what_was_wanted(document: Any) -> None:
    with pytest.raises(
        PayloadError, match=r'no list "instances" or "inputs", or an empty one.*b64'
    ):
        read(json.dumps(document).encode(), JSON)


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
    (b64(b"<html>"), "no image"),
    (b64(png(0)[:300]), "damaged"),
]


@pytest.mark.parametrize(("instance", "cause"), BAD_INSTANCES)
def test_a_request_whose_only_instance_is_bad_is_a_400_with_the_cause(
    instance: Any, cause: str
) -> None:
    with pytest.raises(ImageError, match=cause) as caught:
        read(instances(instance), JSON)
    assert caught.value.status == 400


def test_one_bad_instance_fails_alone_and_order_is_kept() -> None:
    bad = [instance for instance, _ in BAD_INSTANCES]
    mixed = [part for number, one in enumerate(bad) for part in (one, b64(png(number)))]
    items = read(instances(*mixed), JSON)
    assert len(items) == 2 * len(bad)
    for failed, (_, cause) in zip(items[::2], BAD_INSTANCES, strict=True):
        with pytest.raises(ImageError, match=cause):
            raise failed if isinstance(failed, ImageError) else AssertionError(failed)
    for number, pixels in enumerate(pixels_of(items[1::2])):
        np.testing.assert_array_equal(pixels, noise(number))


def test_one_image_of_a_batch_that_is_too_large_fails_alone() -> None:
    body = instances(b64(png(0, 32)), b64(png(0, 64)))
    small, large = read_body(body_of(body, JSON), 32 * 48, MAX_IMAGES).items
    assert not isinstance(small, ImageError)
    assert isinstance(large, ImageTooLargeError)


def test_long_text_among_numbers_takes_no_memory_of_its_length_for_each() -> None:
    instance = ["a" * 100_000, *["b"] * 2_000]
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="no numbers"):
            read(json.dumps({"instances": [instance]}).encode(), JSON)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
