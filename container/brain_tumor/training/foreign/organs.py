"""Slices of other parts of the body and ultrasound, drawn, of nobody."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from brain_tumor.images import Pixels
from brain_tumor.training.foreign.sketch import (
    CANVAS,
    Point,
    blank,
    blob,
    cloud,
    curve,
    polar,
    tissue,
    to_pixels,
    turned,
)

_MIDDLE = CANVAS / 2


def abdomen(random: np.random.Generator) -> Pixels:
    """Draw an axial abdomen: fat, muscle, liver, spleen, kidneys, gut, spine, aorta."""
    fat, muscle = random.uniform(60, 220), random.uniform(60, 140)
    organ, bone = random.uniform(90, 190), random.uniform(60, 240)
    image, draw = blank(random.uniform(0, 10))
    width, height = random.uniform(78, 93), random.uniform(55, 74)
    rim = random.uniform(4, 16)
    blob(draw, random, (_MIDDLE, _MIDDLE), (width, height), fat, 0.03)
    blob(draw, random, (_MIDDLE, _MIDDLE), (width - rim, height - rim), muscle, 0.03)
    blob(draw, random, (_MIDDLE, _MIDDLE - 4), (width - rim - 6, height - rim - 8), fat * 0.8, 0.05)
    liver = (_MIDDLE - width * 0.42, _MIDDLE - 8)
    blob(draw, random, liver, (width * 0.42, height * 0.55), organ, 0.15)
    blob(draw, random, (_MIDDLE + width * 0.55, _MIDDLE + 4), (15, 25), organ * 0.9, 0.15)
    for side in (-1, 1):
        kidney = (_MIDDLE + side * width * 0.4, _MIDDLE + height * 0.38)
        blob(draw, random, kidney, (14, 18), random.uniform(100, 240), 0.1, side * 0.4)
        blob(draw, random, (kidney[0] - side * 4, kidney[1]), (5, 8), fat, 0.2)
    for _ in range(random.integers(3, 12)):
        spot = (_MIDDLE + random.normal(20, 20), _MIDDLE - height * random.uniform(-0.1, 0.6))
        radius = random.uniform(6, 14)
        blob(draw, random, spot, (radius, radius), random.uniform(20, 230), 0.2)
    _vertebra(draw, random, (_MIDDLE, _MIDDLE + height * 0.5), 15, bone)
    blob(draw, random, (_MIDDLE + 5, _MIDDLE + height * 0.2), (7, 7), random.uniform(20, 245), 0.03)
    return tissue(image, random, random.uniform(0.7, 1.5))


def heart(random: np.random.Generator) -> Pixels:
    """Draw an axial chest: two dark lungs with vessels, heart chambers, spine, ribs."""
    wall, lung, blood = random.uniform(90, 190), random.uniform(0, 35), random.uniform(70, 250)
    image, draw = blank()
    width, height = random.uniform(80, 93), random.uniform(56, 72)
    blob(draw, random, (_MIDDLE, _MIDDLE), (width, height), wall * random.uniform(0.6, 1.4), 0.03)
    blob(draw, random, (_MIDDLE, _MIDDLE), (width - 8, height - 8), wall, 0.03)
    for side in (-1, 1):
        centre = (_MIDDLE + side * width * 0.48, _MIDDLE)
        blob(draw, random, centre, (width * 0.38, height * 0.72), lung, 0.06, side * 0.1)
        for _ in range(12):
            start = (centre[0] + random.normal(0, 14), centre[1] + random.normal(0, 18))
            draw.line(curve(random, start, 8, 3), fill=int(wall * 0.7), width=1)
        for angle in np.linspace(0.5, 2.6, 6):
            x = _MIDDLE + side * (width - 6) * math.sin(angle)
            y = _MIDDLE - (height - 6) * math.cos(angle)
            blob(draw, random, (x, y), (6, 3), 230, 0.1, angle * side)
    muscle = wall * random.uniform(0.7, 1.1)
    blob(draw, random, (_MIDDLE + 12, _MIDDLE - 10), (36, 32), muscle, 0.08, 0.6)
    for x, y in ((24, -4), (2, -20), (-4, 4), (14, 14)):
        spot = (_MIDDLE + x, _MIDDLE + y - 8)
        blob(draw, random, spot, (12, random.uniform(8, 13)), blood, 0.12)
    _vertebra(draw, random, (_MIDDLE, _MIDDLE + height * 0.6), 13, random.uniform(100, 240))
    blob(draw, random, (_MIDDLE + 14, _MIDDLE + height * 0.45), (7, 7), blood, 0.03)
    return tissue(image, random, random.uniform(0.7, 1.4))


def _vertebra(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, at: Point, radius: float, grey: float
) -> None:
    x, y = at
    draw.polygon([(x - 3, y), (x + 3, y), (x + 2, y + 2.3 * radius)], fill=int(grey))
    for side in (-1, 1):
        draw.line([(x, y + radius), (x + side * 1.8 * radius, y + 1.4 * radius)], int(grey), 5)
    blob(draw, random, at, (radius, radius * 0.8), grey, 0.05)
    blob(draw, random, (x, y + 1.05 * radius), (radius * 0.45, radius * 0.35), 30)


def limb(random: np.random.Generator) -> Pixels:
    """Draw one or two limbs across: skin, fat ring, muscles, bones with marrow."""
    image, draw = blank(random.uniform(0, 12))
    both = random.random() < 0.4
    fat, muscle = random.uniform(120, 240), random.uniform(60, 130)
    cortex, marrow = random.choice([10.0, 240.0]), random.uniform(90, 230)
    for x in (_MIDDLE - 47, _MIDDLE + 47) if both else (_MIDDLE,):
        radius = random.uniform(36, 45) if both else random.uniform(55, 85)
        blob(draw, random, (x, _MIDDLE), (radius, radius * random.uniform(0.85, 1.1)), fat, 0.05)
        inner = radius * random.uniform(0.7, 0.92)
        blob(draw, random, (x, _MIDDLE), (inner, inner * 0.95), muscle, 0.06)
        for angle in random.uniform(0, 6.3, 7):
            edge = polar((x, _MIDDLE), angle, inner)
            draw.line([(x, _MIDDLE), edge], fill=int(fat * 0.8), width=int(random.integers(1, 3)))
        for _ in range(random.integers(1, 3)):
            spot = (x + random.normal(0, inner * 0.2), _MIDDLE + random.normal(0, inner * 0.2))
            bone = radius * random.uniform(0.15, 0.35)
            blob(draw, random, spot, (bone, bone), cortex, 0.08)
            blob(draw, random, spot, (bone * 0.7, bone * 0.7), marrow, 0.08)
    return tissue(image, random, random.uniform(0.7, 1.5))


def knee(random: np.random.Generator) -> Pixels:
    """Draw a sagittal or coronal knee: thigh bone over shin bone, cartilage, kneecap."""
    image, draw = blank(random.uniform(0, 12))
    fat, muscle = random.uniform(100, 220), random.uniform(40, 110)
    bone, dark = random.uniform(90, 230), random.uniform(5, 40)
    x, y = _MIDDLE + random.normal(0, 6), _MIDDLE + random.normal(0, 8)
    half = random.uniform(55, 80)
    draw.rectangle((x - half, 0, x + half, CANVAS), fill=int(fat))
    draw.rectangle((x - half + 12, 0, x + half - 12, CANVAS), fill=int(muscle))
    wide = random.uniform(32, 42)
    for side in (-1, 1):  # above the joint, below it
        shaft = (x - wide * 0.55, min(y, y + side * 120), x + wide * 0.55, max(y, y + side * 120))
        draw.rectangle(shaft, fill=int(bone), outline=int(dark), width=3)
        end = (x, y + side * 24)
        blob(draw, random, end, (wide + 3, 23), dark, 0.08)
        blob(draw, random, end, (wide, 20), bone, 0.08)
        draw.rectangle(
            (x - wide * 0.5, end[1], x + wide * 0.5, end[1] + side * 20)
            if side > 0
            else (x - wide * 0.5, end[1] - 20, x + wide * 0.5, end[1]),
            fill=int(bone),
        )
    for side in (-1, 1):
        corner = x + side * wide * 0.9
        draw.polygon([(corner, y - 6), (corner, y + 6), (x + side * 8, y)], fill=int(dark))
    if random.random() < 0.6:
        blob(draw, random, (x - wide - 14, y - 30), (9, 18), bone, 0.08)
        draw.line([(x - wide - 14, y - 12), (x - wide * 0.8, y + 50)], fill=int(dark), width=5)
    return tissue(turned(image, random, 8), random, random.uniform(0.8, 1.5))


def spine(random: np.random.Generator) -> Pixels:
    """Draw a sagittal spine: a curved column of vertebrae and discs, the cord behind it."""
    image, draw = blank(random.uniform(10, 60))
    bone, disc = random.uniform(80, 200), random.uniform(30, 230)
    fluid, cord = random.uniform(10, 250), random.uniform(70, 160)
    height, bend = random.uniform(15, 30), random.normal(0, 12)
    draw.rectangle((130, 0, CANVAS, CANVAS), fill=int(random.uniform(90, 220)))

    def column(y: float) -> float:
        return 85 + bend * math.sin(y / CANVAS * random_phase)

    random_phase = random.uniform(2.5, 5)
    canal = [(column(y) + height * 1.2 + 8, y) for y in range(-10, CANVAS + 10, 6)]
    draw.line(canal, fill=int(fluid), width=18)
    draw.line(canal, fill=int(cord), width=8)
    for y in np.arange(-5, CANVAS + 20, height * 1.35):
        x, wide = column(y), height * random.uniform(0.95, 1.1)
        draw.rounded_rectangle((x - wide, y, x + wide, y + height), 4, fill=int(bone))
        between = (x, y + height * 1.17)
        blob(draw, random, between, (wide * 0.95, height * 0.16), disc, 0.05)
        blob(draw, random, (x + wide + 42, y + height / 2), (16, height * 0.3), bone, 0.1, 0.4)
    return tissue(image, random, random.uniform(0.8, 1.6))


def ultrasound(random: np.random.Generator) -> Pixels:
    """Draw a fan or a strip of speckle with dark chambers and bright walls on black."""
    image, draw = blank(random.uniform(50, 110))
    for _ in range(random.integers(2, 7)):
        spot, radius = random.uniform(40, 160, 2), random.uniform(8, 38)
        at = (float(spot[0]), float(spot[1]))
        radii, turn = (radius, radius * random.uniform(0.5, 1)), random.uniform(0, 3)
        blob(draw, random, at, (radii[0] + 4, radii[1] + 4), random.uniform(110, 230), 0.15, turn)
        blob(draw, random, at, radii, random.uniform(0, 60), 0.15, turn)
    flat = np.asarray(image.filter(ImageFilter.GaussianBlur(2)), np.float64)
    grain = np.abs(cloud(random, random.uniform(0.2, 0.7)) + 1j * cloud(random, 0.5))
    rows, columns = np.mgrid[:CANVAS, :CANVAS]
    angle = np.arctan2(columns - _MIDDLE, rows + random.uniform(-8, 30))
    reach = np.hypot(columns - _MIDDLE, rows)
    seen = (np.abs(angle) < random.uniform(0.5, 0.9)) & (reach > 12) & (reach < CANVAS * 0.96)
    if random.random() < 0.3:
        seen = (rows > 25) & (rows < 165) & (columns > 15) & (columns < 177)
    values = flat * grain * np.exp(-reach / CANVAS * random.uniform(0, 1))
    picture = Image.fromarray(to_pixels(np.where(seen, values, 0)))
    pen = ImageDraw.Draw(picture)
    for y in range(5, 60, 9):
        pen.text((3, y), f"{random.integers(0, 9999)} dB", fill=180)
    return np.asarray(picture)
