"""Pages for people: jinja2 templates of a package, and pictures that lie in the page itself."""

import base64
import io

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def templates_of(package: str) -> jinja2.Environment:
    """Return the templates that lie in a package, for HTML and Markdown.

    What is put in is escaped in both: Markdown shows entities as what they stand for. A name that
    is not given is an error.
    """
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def png_uri(png: bytes) -> str:
    """Return the bytes of a PNG file as the source of an image of a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def pixels_uri(pixels: NDArray[np.uint8]) -> str:
    """Return grey pixels (height, width) as the source of an image of a page."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return png_uri(data.getvalue())
