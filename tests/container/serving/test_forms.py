"""serving.forms: files of multipart/form-data."""

import warnings
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brain_tumor.errors import ImageError, PayloadError
from brain_tumor.serving import forms
from brain_tumor.serving.bodies import Item
from brain_tumor.serving.forms import read_form
from tests.bodies import MAX_PIXELS, body_of, pixels_of, read
from tests.scans import jpeg, noise, png

FORM = "multipart/form-data"
BOUNDARY = "----of-a-browser"


def _part(name: str, data: bytes, filename: str | None = "scan.png") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def _form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _read(data: bytes, boundary: str = BOUNDARY) -> list[Item]:
    scans = read_form(body_of(data, FORM, {"boundary": boundary}), MAX_PIXELS)
    items = list(scans.items)
    assert len(items) == scans.count
    return items


def test_files_are_read_in_their_order_also_when_names_alternate() -> None:
    form = _form(*(_part("ab"[n % 2], png(n)) for n in range(5)))
    for number, pixels in enumerate(pixels_of(_read(form))):
        np.testing.assert_array_equal(pixels, noise(number))


def test_fields_that_are_no_files_are_skipped() -> None:
    form = _form(_part("note", b"first", None), _part("file", png(0)), _part("note", jpeg(1), None))
    np.testing.assert_array_equal(pixels_of(_read(form)), [noise(0)])


def test_a_bad_file_fails_alone() -> None:
    first, second, third, fourth = _read(
        _form(_part("f", png(0)), _part("f", b"<html>"), _part("f", b"", ""), _part("f", png(1)))
    )
    np.testing.assert_array_equal(pixels_of([first, fourth]), [noise(0), noise(1)])
    assert isinstance(second, ImageError)
    assert "no image" in str(second)
    assert isinstance(third, ImageError)
    assert "empty" in str(third)


def test_bytes_that_look_like_a_boundary_belong_to_the_file() -> None:
    data = png(0) + b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n--\r\n\r\n"
    np.testing.assert_array_equal(pixels_of(_read(_form(_part("f", data)))), [noise(0)])


def test_a_file_of_many_pieces_is_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "_STEP", 100)
    form = _form(_part("f", png(0)), _part("f", png(1)))
    np.testing.assert_array_equal(pixels_of(_read(form)), [noise(0), noise(1)])


def test_a_file_too_large_for_memory_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = png(0, 128), png(1, 16)
    monkeypatch.setattr(forms, "WHOLE_BYTES", len(large) - 1)
    first, second = _read(_form(_part("f", large), _part("f", small)))
    assert isinstance(first, ImageError)
    assert "larger than" in str(first)
    np.testing.assert_array_equal(pixels_of([second]), [noise(1, 16)])


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (_form(), "no file"),
        (_form(_part("note", b"text", None)), "no file"),
        (b"", "cannot be read"),
        (png(0), "cannot be read"),
        (_form(_part("f", png(0)))[:500], "cannot be read"),
        (_form(_part("f", png(0)))[:-8], "cannot be read"),
        (f"--{BOUNDARY}\r\nContent-Type: image/png\r\n\r\nx\r\n".encode() + _form(), "Disposition"),
        (f"--{BOUNDARY}\r\n".encode() + b"X: \xff\r\n\r\nx\r\n" + _form(), "cannot be read"),
        (f"--{BOUNDARY}\r\n".encode() + b"x" * 2_000_000, "cannot be read"),
    ],
)
def test_what_is_no_form_is_a_400_with_its_cause(data: bytes, cause: str) -> None:
    with pytest.raises(PayloadError, match=cause) as caught:
        _read(data)
    assert caught.value.status == 400


def test_a_form_without_a_boundary_names_the_usual_cause() -> None:
    with pytest.raises(PayloadError, match=r"names no boundary.*set by hand"):
        read(_form(_part("f", png(0))), FORM)


@given(
    st.lists(
        st.sampled_from([b"\r\n", b"--", BOUNDARY.encode(), b"\n", b"\r", b"--\r\n", b"a: b", b"x"])
        | st.binary(max_size=20),
        max_size=12,
    )
)
@settings(deadline=None, max_examples=200)
def test_whatever_the_form_the_answer_is_scans_or_a_400(parts: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(PayloadError):
            _read(_part("f", png(0)) + b"".join(parts))
