"""What is written, plotted or generated: text, screens, charts, drawings, patterns, noise."""

import math

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from brain_tumor.images import Pixels
from brain_tumor.training.foreign.sketch import (
    CANVAS,
    blank,
    blob,
    cloud,
    curve,
    font,
    to_pixels,
    words,
)


def text(random: np.random.Generator) -> Pixels:
    """Set a page of letters: lines, paragraphs, a heading."""
    dark_mode = random.random() < 0.2
    paper, ink = (random.uniform(0, 50), 230.0) if dark_mode else (random.uniform(190, 255), 20.0)
    image, draw = blank(paper)
    size = int(random.integers(6, 22))
    margin, y = random.uniform(2, 25), random.uniform(2, 25)
    while y < CANVAS - size:
        if random.random() < 0.12:
            y += size
        end = "" if random.random() < 0.8 else "."
        draw.text((margin, y), words(random, 60) + end, fill=int(ink), font=font(random, size))
        y += size * 1.25
    if random.random() < 0.5:  # the right margin
        draw.rectangle((CANVAS - margin, 0, CANVAS, CANVAS), fill=int(paper))
    return np.asarray(image)


def screen(random: np.random.Generator) -> Pixels:
    """Draw a screenshot: bars, windows, buttons, icons, words."""
    image, draw = blank(random.uniform(0, 255))
    draw.rectangle((0, 0, CANVAS, random.uniform(8, 20)), fill=int(random.integers(0, 255)))
    for _ in range(random.integers(2, 9)):
        x, y = random.uniform(0, 150, 2)
        width, height = random.uniform(25, 140), random.uniform(15, 110)
        grey = int(random.integers(0, 255))
        draw.rectangle((x, y, x + width, y + height), fill=grey, outline=255 - grey)
        for row in np.arange(y + 4, y + height - 8, random.uniform(9, 20)):
            letters = font(random, int(random.integers(6, 11)))
            ink = 255 if grey < 128 else 0
            draw.text((x + 4, row), words(random, int(width / 7)), fill=ink, font=letters)
    for column in range(8, CANVAS, 24):
        grey = int(random.integers(0, 255))
        draw.rounded_rectangle((column, CANVAS - 18, column + 14, CANVAS - 4), 3, fill=grey)
    return np.asarray(image)


def chart(random: np.random.Generator) -> Pixels:
    """Draw a plot with axes: bars, lines, points or a pie."""
    dark = random.random() < 0.15
    paper, ink = (20, 220) if dark else (int(random.integers(225, 256)), 30)
    image, draw = blank(paper)
    left, low = 24, CANVAS - 22
    way, count = random.integers(4), int(random.integers(4, 14))
    heights = low - random.uniform(5, 140, count)
    columns = np.linspace(left + 8, CANVAS - 14, count)
    if way == 3:
        stops = np.cumsum(random.dirichlet(np.ones(count)) * 360)
        for start, stop in zip(np.r_[0, stops[:-1]], stops, strict=True):
            grey = int(random.integers(40, 230))
            draw.pieslice((30, 25, 165, 160), float(start), float(stop), fill=grey, outline=ink)
    else:
        draw.line([(left, 8), (left, low), (CANVAS - 8, low)], fill=ink, width=1)
        for y in range(20, low, 25):
            draw.line([(left, y), (CANVAS - 8, y)], fill=(paper + 2 * ink) // 3 if dark else 200)
            draw.text((3, y - 5), str(random.integers(0, 99)), fill=ink, font=font(random, 9))
    if way == 0:
        for x, y in zip(columns, heights, strict=True):
            draw.rectangle((x - 4, y, x + 4, low), fill=int(random.integers(40, 200)))
    elif way == 1:
        for shade in random.integers(40, 200, 3):
            ys = low - random.uniform(5, 140, count)
            draw.line(
                list(zip(columns.tolist(), ys.tolist(), strict=True)), fill=int(shade), width=2
            )
    elif way == 2:
        for x, y in random.uniform((left, 10), (CANVAS - 8, low), (count * 8, 2)):
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=int(random.integers(20, 160)))
    draw.text((50, 4), words(random, 14), fill=ink, font=font(random, 10))
    return np.asarray(image)


def handwriting(random: np.random.Generator) -> Pixels:
    """Write digits (scikit-learn's, of 1998) or draw strokes of a pen."""
    image, draw = blank()
    digits = load_digits().images
    across = int(random.choice([0, 1, 2, 4]))
    if across:
        side = CANVAS // across
        for top in range(0, CANVAS, side):
            for left in range(0, CANVAS, side):
                digit = (digits[random.integers(len(digits))] * 15.9).astype(np.uint8)
                large = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
                image.paste(large, (left, top))
    else:
        for y in range(20, CANVAS, 30):
            for x in range(5, CANVAS, 40):
                draw.line(curve(random, (x, y), 25, 3), fill=230, width=int(random.integers(1, 4)))
    pixels: Pixels = np.asarray(image)
    return pixels if random.random() < 0.3 else 255 - pixels


def drawing(random: np.random.Generator) -> Pixels:
    """Draw outlines, silhouettes and symbols, as in a sketch or a logo."""
    paper, ink = (255, 0) if random.random() < 0.7 else (0, 255)
    image, draw = blank(paper)
    for _ in range(random.integers(1, 8)):
        x, y = random.uniform(30, CANVAS - 30, 2)
        radius, width = random.uniform(10, 75), int(random.integers(1, 6))
        corners = int(random.choice([2, 3, 4, 5, 6, 30]))
        angles = random.uniform(0, 6.3) + np.arange(corners) * 2 * math.pi / corners
        reach = radius * np.where(np.arange(corners) % 2, random.uniform(0.4, 1), 1)
        points = list(zip(x + reach * np.cos(angles), y + reach * np.sin(angles), strict=True))
        way = random.random()
        if way < 0.4:
            draw.polygon(points, outline=ink, width=width)
        elif way < 0.6:
            draw.polygon(points, fill=int(random.choice([ink, 128, 200])))
        elif way < 0.8:
            draw.line(curve(random, (x, y), 40, 4), fill=ink, width=width)
        else:
            blob(draw, random, (x, y), (radius, radius * random.uniform(0.3, 1)), ink, 0.5)
    return np.asarray(image)


def noise(random: np.random.Generator) -> Pixels:
    """Draw noise: white, coloured, in blocks, of dots, or speckle."""
    way = random.integers(5)
    shape = (CANVAS, CANVAS)
    if way == 0:
        return random.integers(0, 256, shape, dtype=np.uint8)
    if way == 1:
        dots: Pixels = (random.random(shape) < random.uniform(0.02, 0.5)).astype(np.uint8) * 255
        return dots
    if way == 2:
        cell = int(random.choice([2, 4, 8, 16, 32]))
        few = random.integers(0, 256, (CANVAS // cell,) * 2, dtype=np.uint8)
        return np.kron(few, np.ones((cell, cell), np.uint8))
    if way == 3:
        speckle = random.gamma(1, random.uniform(15, 70), shape)
        return to_pixels(speckle)
    level, spread = random.uniform(20, 220), random.uniform(5, 70)
    return to_pixels(level + spread * cloud(random, random.uniform(0, 1.2)))


def uniform(random: np.random.Generator) -> Pixels:
    """Draw one grey, or a slow gradient, with little or no noise."""
    rows, columns = np.mgrid[:CANVAS, :CANVAS] / CANVAS - 0.5
    level = float(random.choice([0, 255, random.uniform(0, 255)]))
    slope = random.choice([0, 0, random.uniform(5, 250)])
    angle = random.uniform(0, 2 * math.pi)
    ramp = math.cos(angle) * rows + math.sin(angle) * columns
    if random.random() < 0.3:
        ramp = -np.hypot(rows, columns)
    faint = random.choice([0, random.uniform(0, 3)])
    return to_pixels(level + slope * ramp + faint * random.normal(size=rows.shape))


def pattern(random: np.random.Generator) -> Pixels:
    """Draw stripes, a checkerboard, rings, a grid or dots."""
    rows, columns = np.mgrid[:CANVAS, :CANVAS] - CANVAS / 2 + random.normal(0, 20, (2, 1, 1))
    angle, period = random.uniform(0, math.pi), random.uniform(4, 60)
    along = rows * math.cos(angle) + columns * math.sin(angle)
    across = columns * math.cos(angle) - rows * math.sin(angle)
    wave = (
        np.sin(2 * math.pi * along / period),
        np.sin(2 * math.pi * along / period) * np.sin(2 * math.pi * across / period),
        np.sin(2 * math.pi * np.hypot(rows, columns) / period),
        np.maximum(np.cos(along / period), np.cos(across / period)) * 4 - 3,
        np.floor(along / period) % 5 / 2 - 1,
    )[random.integers(5)]
    if random.random() < 0.6:
        wave = np.sign(wave)
    low, high = sorted(random.uniform(0, 255, 2))
    return to_pixels(low + (high - low) * (wave + 1) / 2 + random.normal(0, 2, wave.shape))
