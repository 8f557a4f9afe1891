"""pages: templates, and pictures that lie in the page itself."""

import base64
import io

import jinja2
import numpy as np
import pytest
from PIL import Image

from brain_tumor.pages import pixels_uri, templates_of


def test_what_is_put_into_a_page_is_escaped() -> None:
    page = templates_of("brain_tumor.data").from_string("<p>{{ name }}</p>")
    assert page.render(name="<script>") == "<p>&lt;script&gt;</p>"


def test_a_name_that_is_not_given_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="absent"):
        templates_of("brain_tumor.data").from_string("{{ absent }}").render()


def test_a_picture_in_a_page_has_the_pixels_it_was_made_of() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    kind, _, data = pixels_uri(pixels).partition(",")
    assert kind == "data:image/png;base64"
    np.testing.assert_array_equal(Image.open(io.BytesIO(base64.b64decode(data))), pixels)
