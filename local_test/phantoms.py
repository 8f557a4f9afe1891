"""Draw a small synthetic data set in the Kaggle layout: head phantoms, not scans of anyone.

    python local_test/phantoms.py OUT.zip [--per-class 100] [--seed 0] [--leaked 0]

It shows that the machinery works, and nothing about how well real scans are classified. Needs
numpy and Pillow, which the image and the project's virtual environments have.
"""

import argparse
import io
import math
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
SIZE = 192
_TEST_SHARE = 0.2


def draw_phantom(label: str, random: np.random.Generator) -> Image.Image:
    """Draw one head of a class: (192, 192) grey.

    A glioma is an irregular ring inside a hemisphere, a meningioma a bright disc at the skull, a
    pituitary tumour a small bright disc at the middle of the base.
    """
    image = Image.new("L", (SIZE, SIZE), int(random.integers(0, 12)))
    draw = ImageDraw.Draw(image)
    x, y = SIZE / 2 + random.normal(0, 5, 2)
    width, height = random.uniform(56, 74), random.uniform(70, 86)
    _disc(draw, x, y, width, height, int(random.integers(150, 210)))
    _disc(draw, x, y, width - 6, height - 6, 25)
    brain = int(random.integers(85, 120))
    _disc(draw, x, y, width - 10, height - 10, brain)
    image.paste(_tissue(random, brain), mask=_inside(x, y, width - 10, height - 10))
    for side in (-1, 1):
        _disc(draw, x + side * 12, y - 4, random.uniform(4, 8), random.uniform(16, 24), brain - 45)
    _LESIONS[label](draw, random, x, y, width, height)
    image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.8, 1.6))))
    noisy = np.asarray(image, np.float64) + random.normal(0, random.uniform(3, 8), (SIZE, SIZE))
    turned = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    return turned.rotate(float(random.normal(0, 5)), Image.Resampling.BILINEAR)


def write_phantoms(path: Path, per_class: int, seed: int, leaked: int = 0) -> None:
    """Write a zip of JPEGs: Training/<class>/ and Testing/<class>/.

    The first `leaked` training images of each class stand in Testing too, mirrored.
    """
    random = np.random.default_rng(seed)
    tested = math.ceil(per_class * _TEST_SHARE)
    with zipfile.ZipFile(path, "w") as archive:
        for label in CLASSES:
            for number in range(per_class):
                side = "Testing" if number < tested else "Training"
                image = draw_phantom(label, random)
                _add(archive, f"{side}/{label}/phantom-{number:04}.jpg", image)
                if tested <= number < tested + leaked:
                    mirrored = f"Testing/{label}/phantom-{number:04}-mirrored.jpg"
                    _add(archive, mirrored, ImageOps.mirror(image))


def _add(archive: zipfile.ZipFile, name: str, image: Image.Image) -> None:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    # Of 1980, ZipInfo's default: the same seed gives the same zip to the byte.
    archive.writestr(zipfile.ZipInfo(name), data.getvalue())


def _tissue(random: np.random.Generator, brain: int) -> Image.Image:
    """Draw a brain of its own for every phantom: without it they would all be near-duplicates."""
    coarse = random.normal(brain, 45, (14, 14)).clip(20, 175).astype(np.uint8)
    return Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _inside(x: float, y: float, width: float, height: float) -> Image.Image:
    mask = Image.new("L", (SIZE, SIZE))
    _disc(ImageDraw.Draw(mask), x, y, width, height, 255)
    return mask


def _disc(
    draw: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float, grey: int
) -> None:
    draw.ellipse((x - width, y - height, x + width, y + height), fill=grey)


def _glioma(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float, w: float, h: float
) -> None:
    centre_x = x + random.choice([-1, 1]) * w * random.uniform(0.35, 0.5)
    centre_y = y + h * random.uniform(-0.4, 0.3)
    radius = random.uniform(14, 22)
    angles = np.linspace(0, 2 * math.pi, 14, endpoint=False)
    radii = radius * random.uniform(0.7, 1.25, 14)
    for scale, grey in ((1.0, 215), (0.6, 55)):
        outline = [
            (centre_x + scale * r * math.cos(a), centre_y + scale * r * math.sin(a))
            for a, r in zip(angles, radii, strict=True)
        ]
        draw.polygon(outline, fill=grey)


def _meningioma(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float, w: float, h: float
) -> None:
    angle = random.uniform(math.pi, 2 * math.pi)
    radius = random.uniform(12, 19)
    reach = 1 - (radius + 6) / w
    _disc(
        draw,
        x + reach * w * math.cos(angle),
        y + reach * h * math.sin(angle),
        radius,
        radius * random.uniform(0.85, 1.15),
        int(random.integers(205, 245)),
    )


def _notumor(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float, w: float, h: float
) -> None:
    """Draw nothing."""


def _pituitary(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, x: float, y: float, w: float, h: float
) -> None:
    radius = random.uniform(7, 11)
    _disc(draw, x + random.normal(0, 2), y + h * 0.5, radius, radius, 230)


_LESIONS = {
    "glioma": _glioma,
    "meningioma": _meningioma,
    "notumor": _notumor,
    "pituitary": _pituitary,
}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="zip to write")
    parser.add_argument("--per-class", type=int, default=100, help="phantoms a class")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--leaked", type=int, default=0, help="of each class, mirrored into the test side too"
    )
    arguments = parser.parse_args()
    write_phantoms(arguments.out, arguments.per_class, arguments.seed, arguments.leaked)


if __name__ == "__main__":
    main()
