"""serving.instances: scans in JSON documents and JSON Lines."""

import json
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from brain_tumor.errors import ImageError, ImageTooLargeError, PayloadError
from brain_tumor.serving import instances as instances_module
from brain_tumor.serving.payloads import JSON, JSON_LINES, read_body
from tests.bodies import MAX_IMAGES, MAX_PIXELS, b64, body_of, instances, pixels_of, read
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
    (json.loads("[" * 32 + "0" + "]" * 32), "are no image"),
    (json.loads("[" * 33 + "0" + "]" * 33), "no numbers"),
    (json.loads("[" * 90 + "0" + "]" * 90), "no numbers"),
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


def _count(body: bytes, media_type: str) -> int:
    """Read a body to its end."""
    scans = read_body(body_of(body, media_type), 10**7, MAX_IMAGES)
    return sum(not isinstance(item, ImageError) for item in scans.items)


def _peak_of(readers: int, body: bytes, media_type: str) -> int:
    """Give the most bytes that so many bodies take that are read at once."""
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(readers) as pool:
            reads = [pool.submit(_count, body, media_type) for _ in range(readers)]
            assert all(done.result() for done in reads)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


_NUMBERS = np.full((3, 256, 512), 0.5).tolist()


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (instances(*_NUMBERS), JSON),
        (instances(*({"images": numbers} for numbers in _NUMBERS)), JSON),
        (instances(b64(png(0)), *_NUMBERS), JSON),
        (instances({"b64": 3, "of": _NUMBERS}, b64(png(0))), JSON),
        (json.dumps([row for numbers in _NUMBERS for row in numbers]).encode(), JSON_LINES),
    ],
    ids=["rows", "named", "with an image", "no instance", "a line"],
)
def test_large_documents_of_numbers_that_come_at_once_take_no_more_memory_than_one(
    body: bytes, media_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances_module, "IN_MEMORY_BYTES", len(body) // 2)
    assert _peak_of(3, body, media_type) < 1.3 * _peak_of(1, body, media_type)


# --- TensorFlow Serving's other forms ---


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": [b64(png(0)), b64(png(1))]},
        {"inputs": {"image_bytes": [b64(png(0)), b64(png(1))]}},
        {"inputs": [noise(0).tolist(), noise(1).tolist()]},
        {"inputs": {"images": np.stack([noise(0), noise(1)])[..., np.newaxis].tolist()}},
        {"instances": [{"images": noise(0).tolist()}, {"image_bytes": b64(png(1))}]},
        {"signature_name": "serving_bytes", "inputs": [b64(png(0)), b64(png(1))]},
        {"signature_name": "serving_default", "instances": [noise(0).tolist(), noise(1).tolist()]},
    ],
)
def test_columns_rows_and_named_inputs_are_the_same_scans(document: dict[str, Any]) -> None:
    decoded = pixels_of(read(json.dumps(document).encode(), JSON))
    np.testing.assert_array_equal(decoded, [noise(0), noise(1)])


@pytest.mark.parametrize("name", ["serving_scores", "", "x" * 5000, None, 3, ["serving_default"]])
def test_another_signature_is_a_400_that_names_those_there_are(name: Any) -> None:
    document = {"signature_name": name, "instances": [b64(png(0))]}
    with pytest.raises(PayloadError, match=r"serving_default with numbers, serving_bytes with"):
        read(json.dumps(document).encode(), JSON)


def test_rows_and_columns_in_one_request_are_a_400() -> None:
    document = {"instances": [b64(png(0))], "inputs": [b64(png(0))]}
    with pytest.raises(PayloadError, match="both"):
        read(json.dumps(document).encode(), JSON)


# --- JSON Lines ---


def _lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_each_line_is_an_instance_whether_or_not_the_last_one_ends(end: bytes) -> None:
    body = _lines(b64(png(0)), noise(1).tolist(), {"image_bytes": b64(png(2))}).rstrip() + end
    for number, pixels in enumerate(pixels_of(read(body, JSON_LINES))):
        np.testing.assert_array_equal(pixels, noise(number))


def test_a_bad_line_is_an_error_in_its_place_and_an_empty_one_too() -> None:
    body = _lines(b64(png(0))) + b"no json\n\n" + _lines(3, b64(b"<html>"), b64(png(1)))
    items = read(body, JSON_LINES)
    for item, cause in zip(items[1:5], ("no JSON", "no JSON", "neither", "no image"), strict=True):
        with pytest.raises(ImageError, match=cause):
            raise item if isinstance(item, ImageError) else AssertionError
    np.testing.assert_array_equal(pixels_of([items[0], items[5]]), [noise(0), noise(1)])


def test_a_line_too_long_for_memory_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    short = _lines(b64(png(1, 16)))
    monkeypatch.setattr(instances_module, "WHOLE_BYTES", len(short))
    monkeypatch.setattr(instances_module, "_STEP", 100)
    for end in (b"\n", b""):
        first, second, *rest = read(
            short + _lines(b64(png(0))) + (short if end else b""), JSON_LINES
        )
        assert isinstance(second, ImageError)
        assert "longer than" in str(second)
        assert len(pixels_of([first, *rest])) == 1 + len(end)


def test_lines_are_read_one_at_a_time() -> None:
    body = body_of(_lines(*[b64(png(0))] * 50), JSON_LINES)
    scans = read_body(body, MAX_PIXELS, MAX_IMAGES)
    next(scans.items)
    assert body.stream.tell() < body.size / 10
