"""What cameras, telescopes and microscopes see: photographs, faces, textures, cells, stars."""

from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

from brain_tumor.images import Pixels, decode, resize
from brain_tumor.training.foreign.sketch import (
    CANVAS,
    blob,
    cloud,
    curve,
    font,
    tissue,
    to_pixels,
    words,
)


def photograph(random: np.random.Generator) -> Pixels:
    """Cut a part out of a photograph that scikit-learn or matplotlib ships."""
    photographs = _photographs()
    whole = photographs[random.integers(len(photographs))]
    side = int(min(whole.shape) * random.uniform(0.25, 1))
    top, left = (int(random.integers(0, length - side + 1)) for length in whole.shape)
    part = whole[top : top + side, left : left + side]
    return resize(np.ascontiguousarray(part), CANVAS)


@cache
def _photographs() -> list[Pixels]:
    colour = load_sample_images().images
    portrait = Path(mpl.get_data_path(), "sample_data", "grace_hopper.jpg")
    photographs = [np.asarray(Image.fromarray(image).convert("L")) for image in colour]
    if portrait.is_file():  # some distributions leave matplotlib's samples out
        photographs.append(decode(portrait.read_bytes()))
    return photographs


def scene(random: np.random.Generator) -> Pixels:
    """Draw sky, ground, houses, trees and balls."""
    sky, ground, horizon = random.uniform(90, 240), random.uniform(30, 150), random.uniform(60, 140)
    rows = np.arange(CANVAS)[:, np.newaxis]
    field = np.where(rows < horizon, sky + 0.3 * rows, ground + 0.3 * (rows - horizon))
    field = field + cloud(random, 1.2) * np.where(rows < horizon, 12, random.uniform(8, 35))
    image = Image.fromarray(to_pixels(field))
    draw = ImageDraw.Draw(image)
    for _ in range(random.integers(1, 7)):
        x, y = random.uniform(0, CANVAS), horizon + random.uniform(-10, 50)
        _SCENERY[random.integers(len(_SCENERY))](draw, random, x, y)
    return tissue(image, random, blur=random.uniform(0.3, 1))


def _house(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    width, height = random.uniform(20, 70), random.uniform(20, 110)
    top, grey = y - height, int(random.integers(40, 240))
    draw.rectangle((x - width, top, x + width, y), fill=grey)
    draw.polygon([(x - width - 5, top), (x, top - width / 2), (x + width + 5, top)], fill=grey // 2)
    for row in np.arange(top + 8, y - 10, 18):
        for column in np.arange(x - width + 6, x + width - 8, 16):
            draw.rectangle((column, row, column + 8, row + 10), fill=int(random.integers(0, 255)))


def _tree(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    height, grey = random.uniform(30, 100), random.uniform(10, 110)
    draw.rectangle((x - 3, y - height, x + 3, y), fill=30)
    for _ in range(12):
        centre = (x + random.normal(0, height / 5), y - height + random.normal(0, height / 6))
        blob(draw, random, centre, (height / 6, height / 7), grey + random.normal(0, 15), 0.2)


def _person(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    size, skin = random.uniform(12, 45), random.uniform(110, 220)
    blob(draw, random, (x, y + 2.6 * size), (1.9 * size, 1.7 * size), random.uniform(10, 240))
    blob(draw, random, (x, y - 0.2 * size), (0.9 * size, 1.1 * size), random.uniform(5, 90))
    blob(draw, random, (x, y), (0.75 * size, size), skin, 0.03)
    for side in (-1, 1):
        blob(draw, random, (x + side * 0.3 * size, y - 0.15 * size), (0.12 * size, 0.07 * size), 20)
    blob(draw, random, (x, y + 0.5 * size), (0.28 * size, 0.08 * size), skin * 0.5)


def _ball(draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float) -> None:
    radius, bright = random.uniform(8, 40), random.uniform(80, 250)
    for share in np.linspace(1, 0.1, 12):
        spot = (x - radius * (1 - share) * 0.4, y - radius * (1 - share) * 0.4)
        blob(draw, random, spot, (radius * share,) * 2, bright * (1.1 - 0.6 * share), 0)


_SCENERY = (_house, _tree, _person, _ball)


def portrait(random: np.random.Generator) -> Pixels:
    """Draw one large person or animal face before a background."""
    image = Image.fromarray(to_pixels(random.uniform(20, 230) + 20 * cloud(random, 1.3)))
    draw = ImageDraw.Draw(image)
    _person(draw, random, CANVAS / 2 + random.normal(0, 8), 80 + random.normal(0, 8))
    x, y, size = CANVAS / 2 + random.normal(0, 8), 85 + random.normal(0, 8), random.uniform(35, 60)
    skin = random.uniform(70, 230)
    blob(draw, random, (x, y + 2.4 * size), (1.8 * size, 1.6 * size), random.uniform(10, 240))
    blob(draw, random, (x, y - 0.25 * size), (0.95 * size, 1.1 * size), random.uniform(5, 90), 0.1)
    blob(draw, random, (x, y), (0.75 * size, size), skin, 0.04)
    for side in (-1, 1):
        eye = (x + side * 0.32 * size, y - 0.15 * size)
        blob(draw, random, eye, (0.15 * size, 0.08 * size), 235)
        blob(draw, random, eye, (0.06 * size, 0.07 * size), 15)
    blob(draw, random, (x, y + 0.2 * size), (0.1 * size, 0.2 * size), skin * 0.8)
    blob(draw, random, (x, y + 0.55 * size), (0.28 * size, 0.08 * size), skin * 0.5)
    return tissue(image, random)


def texture(random: np.random.Generator) -> Pixels:
    """Draw stone, wood, cloth or cracked earth over the whole picture."""
    field = cloud(random, random.uniform(0.5, 2))
    rows, columns = np.mgrid[:CANVAS, :CANVAS] / CANVAS
    way = random.integers(4)
    if way == 1:
        field = np.sin(random.uniform(10, 60) * (columns + 0.06 * field)) + 0.3 * cloud(random, 0.5)
    elif way == 2:
        field = np.sin(random.uniform(60, 200) * columns) * np.sin(random.uniform(60, 200) * rows)
        field = field + 0.5 * cloud(random, 0.8)
    elif way == 3:
        field = _nearest_two(random, int(random.integers(20, 200)))
    return to_pixels(random.uniform(60, 190) + random.uniform(20, 60) * field / field.std())


def _nearest_two(random: np.random.Generator, seeds: int) -> NDArray[np.float64]:
    """Give each pixel's distance to a border between Voronoi cells (Worley noise, 1996)."""
    points = random.uniform(0, CANVAS, (seeds, 2, 1, 1))
    distances = np.hypot(*(np.mgrid[:CANVAS:2, :CANVAS:2] - points).transpose(1, 0, 2, 3))
    first, second = np.partition(distances, 1, axis=0)[:2]
    border: NDArray[np.float64] = np.kron(second - first, np.ones((2, 2))).clip(0, 12)
    return border + cloud(random, 1)


def histology(random: np.random.Generator) -> Pixels:
    """Draw a stained section or cells under a microscope: many nuclei."""
    fluorescent = random.random() < 0.35
    paper, cell, nucleus = (10, 60, 200) if fluorescent else (225, 175, 85)
    base = paper + random.normal(0, 8) + random.uniform(2, 25) * cloud(random, 1.1)
    image = Image.fromarray(to_pixels(base))
    draw = ImageDraw.Draw(image)
    radius = random.uniform(3, 14)
    for x, y in random.uniform(-5, CANVAS + 5, (int(random.uniform(4e3, 2e4) / radius**2), 2)):
        radii = (radius * random.uniform(0.7, 1.3), radius * random.uniform(0.7, 1.3))
        turn = random.uniform(0, 3.1)
        blob(draw, random, (x, y), radii, cell + random.normal(0, 12), 0.15, turn)
        inner = (radii[0] * 0.55, radii[1] * 0.5)
        blob(draw, random, (x, y), inner, nucleus + random.normal(0, 18), 0.15, turn)
    return tissue(image, random, blur=random.uniform(0.4, 1.4))


def round_thing(random: np.random.Generator) -> Pixels:
    """Draw a round thing on a plain background: a fruit, a coin, a planet, an eye's fundus."""
    back = random.choice([0, 0, 255, random.uniform(0, 255)])
    rows, columns = np.mgrid[:CANVAS, :CANVAS] - CANVAS / 2 + random.normal(0, 6, (2, 1, 1))
    radius = random.uniform(35, 100)
    distance = np.hypot(rows, columns * random.uniform(0.8, 1.2)) / radius
    depth = np.sqrt((1 - distance**2).clip(0))
    light = random.normal(0, 0.5, 2)
    shade = random.uniform(60, 200) * (0.5 + 0.6 * depth + light[0] * rows / radius / 2)
    image = Image.fromarray(to_pixels(shade + random.uniform(2, 30) * cloud(random, 1)))
    draw = ImageDraw.Draw(image)
    if random.random() < 0.5:  # an optic disc and its vessels
        start = (CANVAS / 2 + random.normal(0, 25), CANVAS / 2 + random.normal(0, 12))
        blob(draw, random, start, (9, 11), 230)
        for _ in range(random.integers(6, 16)):
            draw.line(curve(random, start, 40, 3), fill=int(random.uniform(20, 80)), width=2)
    elif random.random() < 0.4:
        draw.text((60, 60), words(random, 3), fill=240, font=font(random, 50))
    return to_pixels(np.where(distance < 1, np.asarray(tissue(image, random), np.float64), back))


def stars(random: np.random.Generator) -> Pixels:
    """Draw a night sky: stars, and sometimes a galaxy."""
    field = random.normal(8, 4, (CANVAS, CANVAS))
    rows, columns = np.mgrid[:CANVAS, :CANVAS]
    for _ in range(random.integers(20, 120)):
        y, x = random.uniform(0, CANVAS, 2)
        distance = np.hypot(rows - y, columns - x)
        field = field + random.uniform(40, 400) * np.exp(-distance / random.uniform(0.4, 2))
    if random.random() < 0.5:
        y, x = random.uniform(50, 140, 2)
        tilt = random.uniform(0.4, 2.5)
        field = field + 220 * np.exp(-np.hypot((rows - y) * tilt, columns - x) / 18)
    return to_pixels(field)
