"""What drawn pictures are made of: soft outlines, clouds of noise, blur and a camera's faults."""

import math
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from brain_tumor.images import Pixels

CANVAS = 192
"""Height and width in pixels of the canvas that every picture is drawn on."""

_LETTERS = list("etaoinshrdlucmfwypvbgkjqxz" * 2 + "ETAOINSHRDLU0123456789.,;:-()")
_FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "DejaVuSans-Bold", "STIXGeneral")

Point = tuple[float, float]


def blank(grey: float = 0) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Give an empty grey canvas and the pen to draw on it."""
    image = Image.new("L", (CANVAS, CANVAS), int(grey))
    return image, ImageDraw.Draw(image)


def blob(
    draw: ImageDraw.ImageDraw,
    random: np.random.Generator,
    centre: Point,
    radii: Point,
    grey: float,
    wobble: float = 0.06,
    turn: float = 0.0,
) -> None:
    """Fill an ellipse whose outline wavers, as organs' outlines do.

    Args:
        draw: the pen.
        random: draws the outline.
        centre: x and y in pixels.
        radii: half width and half height in pixels.
        grey: 0-255.
        wobble: standard deviation of the outline's waves as a share of the radii.
        turn: rotation in radians.
    """
    angles = np.linspace(0, 2 * math.pi, 60, endpoint=False)
    radius = np.ones_like(angles)
    for wave in range(2, 6):
        radius += random.normal(0, wobble / wave) * np.cos(wave * angles + random.uniform(0, 6.3))
    x, y = radii[0] * radius * np.cos(angles), radii[1] * radius * np.sin(angles)
    turned_x = centre[0] + x * math.cos(turn) - y * math.sin(turn)
    turned_y = centre[1] + x * math.sin(turn) + y * math.cos(turn)
    draw.polygon(list(zip(turned_x.tolist(), turned_y.tolist(), strict=True)), fill=int(grey))


def curve(random: np.random.Generator, start: Point, steps: int, length: float) -> list[Point]:
    """Give the points of a smooth random walk: a vessel, a branch, a stroke of a pen."""
    headings = random.uniform(0, 2 * math.pi) + np.cumsum(random.normal(0, 0.35, steps))
    x = start[0] + np.cumsum(length * np.cos(headings))
    y = start[1] + np.cumsum(length * np.sin(headings))
    return list(zip(x.tolist(), y.tolist(), strict=True))


def cloud(random: np.random.Generator, exponent: float, size: int = CANVAS) -> NDArray[np.float64]:
    """Draw noise whose amplitude falls as frequency ** -exponent: 0 is white, 1 natural scenes.

    Field 1987, "Relations between the statistics of natural images and the response properties of
    cortical cells".

    Returns:
        (size, size), mean 0, standard deviation 1.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size))
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(random.normal(size=(size, size))) / frequency**exponent
    spectrum[0, 0] = 0
    field: NDArray[np.float64] = np.fft.irfft2(spectrum, s=(size, size))
    field /= field.std()
    return field


def tissue(image: Image.Image, random: np.random.Generator, blur: float = 1.0) -> Pixels:
    """Turn flat areas into what a scanner shows: blurred edges, mottled inside, noise all over."""
    flat = np.asarray(image.filter(ImageFilter.GaussianBlur(blur)), np.float64)
    mottled = flat * (1 + random.uniform(0.04, 0.14) * cloud(random, random.uniform(0.6, 1.4)))
    return to_pixels(mottled + random.normal(0, random.uniform(1, 7), flat.shape))


def to_pixels(values: NDArray[np.float64]) -> Pixels:
    """Round to uint8, values outside 0-255 cut off."""
    pixels: Pixels = np.rint(values.clip(0, 255)).astype(np.uint8)
    return pixels


def vary(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Mirror, rotate a little, and change gamma, contrast and sharpness, as cameras differ."""
    image = Image.fromarray(pixels)
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.4:
        fill = int(np.median(pixels[:4]))
        image = image.rotate(float(random.normal(0, 8)), Image.Resampling.BILINEAR, fillcolor=fill)
    if random.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.3, 1.5))))
    values = 255 * (np.asarray(image, np.float64) / 255) ** random.uniform(0.6, 1.6)
    return to_pixels(
        values * random.uniform(0.7, 1.15) + random.normal(0, random.uniform(0, 4), ())
    )


def words(random: np.random.Generator, letters: int) -> str:
    """Give words of random letters, as frequent as in English."""
    characters = random.choice(_LETTERS, letters)
    characters[random.random(letters) < 0.17] = " "
    return "".join(characters)


def font(random: np.random.Generator, size: int) -> ImageFont.FreeTypeFont:
    """Choose one of the fonts that matplotlib ships; `size` in pixels."""
    return _load_font(_FONTS[random.integers(len(_FONTS))], size)


@cache
def _load_font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", f"{name}.ttf"), size)


def polar(origin: Point, angle: float, reach: float) -> Point:
    """Give the point at `reach` pixels and `angle` radians clockwise from straight up."""
    return origin[0] + reach * math.sin(angle), origin[1] - reach * math.cos(angle)


def turned(image: Image.Image, random: np.random.Generator, spread: float) -> Image.Image:
    """Rotate by a random angle, `spread` degrees of standard deviation."""
    fill = image.getpixel((1, 1))
    turn = float(random.normal(0, spread))
    return image.rotate(turn, Image.Resampling.BILINEAR, fillcolor=fill)
