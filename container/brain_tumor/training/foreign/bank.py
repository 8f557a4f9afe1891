"""The bank of foreign pictures: what a classifier of brain scans must refuse, by kind.

All is drawn from a seed. The few photographs are those that scikit-learn and matplotlib ship, and
three kinds are made of the job's own scans.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.images import Pixels, resize
from brain_tumor.training.foreign import organs, pages, scenes, xrays
from brain_tumor.training.foreign.sketch import vary

Draw = Callable[[np.random.Generator], Pixels]

DRAWN: dict[str, Draw] = {
    "photograph": scenes.photograph,
    "scene": scenes.scene,
    "portrait": scenes.portrait,
    "texture": scenes.texture,
    "histology": scenes.histology,
    "round thing": scenes.round_thing,
    "stars": scenes.stars,
    "text": pages.text,
    "screen": pages.screen,
    "chart": pages.chart,
    "handwriting": pages.handwriting,
    "drawing": pages.drawing,
    "noise": pages.noise,
    "uniform": pages.uniform,
    "pattern": pages.pattern,
    "chest X-ray": xrays.chest_xray,
    "bone X-ray": xrays.bone_xray,
    "hand X-ray": xrays.hand_xray,
    "dental X-ray": xrays.dental_xray,
    "abdomen": organs.abdomen,
    "heart": organs.heart,
    "limb": organs.limb,
    "knee": organs.knee,
    "spine": organs.spine,
    "ultrasound": organs.ultrasound,
}
SPOILT = ("shuffled scan", "close-up of a scan", "negative of a scan")
"""Kinds that are made of scans: the tissue is a brain's, but no head can be seen as it should."""

UNSEEN = ("chart", "bone X-ray")
"""Kinds that no detector is fitted on: they stand for all that nobody thought of."""


@dataclass(frozen=True)
class Bank:
    """Foreign pictures, one row each."""

    pixels: NDArray[np.uint8]
    """(n, size, size), 0-255."""
    kinds: list[str]
    """Of each row."""


def pictures_of_each(scans: int) -> int:
    """Say how many pictures of each kind to draw beside so many scans: 6 to 20."""
    return min(20, max(6, scans // 30))


def draw_bank(
    kinds: Sequence[str], each: int, size: int, seed: int, scans: Pixels | StoredPixels
) -> Bank:
    """Draw `each` pictures of every kind; the same seed gives the same pictures.

    Args:
        kinds: names out of `DRAWN` and `SPOILT`.
        each: pictures a kind.
        size: height and width in pixels.
        seed: of all that is random.
        scans: (m, h, w) uint8, m > 0: what the kinds in `SPOILT` are made of.
    """
    pictures: list[Pixels] = []
    for kind in kinds:
        for number in range(each):
            # Seeded one by one, so that a kind's pictures do not depend on the kinds before it.
            random = np.random.default_rng([seed, number, *kind.encode()])
            picture = _draw(kind, random, scans)
            pictures.append(resize(vary(picture, random), size))
    return Bank(np.stack(pictures), [kind for kind in kinds for _ in range(each)])


def _draw(kind: str, random: np.random.Generator, scans: Pixels | StoredPixels) -> Pixels:
    if kind in DRAWN:
        return DRAWN[kind](random)
    scan = scans[random.integers(len(scans))]
    if kind == "negative of a scan":
        negative: Pixels = 255 - scan
        return negative
    side = len(scan)
    if kind == "close-up of a scan":
        part = int(side * random.uniform(0.15, 0.28))
        top, left = random.integers(side // 4, side * 3 // 4 - part, 2)
        return resize(np.ascontiguousarray(scan[top : top + part, left : left + part]), side)
    return _shuffled(scan, int(random.choice([2, 4, 8])), random)


def _shuffled(scan: Pixels, across: int, random: np.random.Generator) -> Pixels:
    """Cut a scan into across * across tiles and lay them in another order."""
    side = len(scan) // across
    tiles = [
        scan[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(across)
        for column in range(across)
    ]
    order = random.permutation(len(tiles))
    return np.block(
        [[tiles[order[row * across + column]] for column in range(across)] for row in range(across)]
    )
