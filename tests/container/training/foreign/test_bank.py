"""training.foreign.bank: pictures that are no brain MRI."""

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.training.foreign.bank import DRAWN, SPOILT, UNSEEN, draw_bank

KINDS = [*DRAWN, *SPOILT]
GRADIENT = np.tile(np.linspace(10, 200, 64).astype(np.uint8), (3, 64, 1))


@pytest.mark.parametrize("size", [32, 160])
def test_every_kind_gives_square_grey_pictures_of_the_size_asked_for(size: int) -> None:
    bank = draw_bank(KINDS, 2, size, 0, GRADIENT)
    assert bank.pixels.shape == (2 * len(KINDS), size, size)
    assert bank.pixels.dtype == np.uint8
    assert bank.kinds == [kind for kind in KINDS for _ in range(2)]


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    first = draw_bank(KINDS, 1, 64, 5, GRADIENT).pixels
    np.testing.assert_array_equal(first, draw_bank(KINDS, 1, 64, 5, GRADIENT).pixels)
    other = draw_bank(KINDS, 1, 64, 6, GRADIENT).pixels
    assert (first != other).any(axis=(1, 2)).sum() >= len(KINDS) - 1  # two black ones may agree


def test_a_kinds_pictures_do_not_depend_on_the_other_kinds() -> None:
    alone = draw_bank(["heart"], 2, 64, 0, GRADIENT).pixels
    bank = draw_bank(["text", "heart", "noise"], 2, 64, 0, GRADIENT)
    np.testing.assert_array_equal(bank.pixels[2:4], alone)


@pytest.mark.parametrize("kind", [kind for kind in DRAWN if kind != "uniform"])
def test_a_kinds_pictures_show_something_and_differ_from_each_other(kind: str) -> None:
    pixels = draw_bank([kind], 8, 64, 0, GRADIENT).pixels
    spread: NDArray[np.float64] = pixels.std(axis=(1, 2))
    assert np.median(spread) > 4
    assert len(np.unique(pixels.reshape(8, -1), axis=0)) == 8


def test_spoilt_scans_are_made_of_scans() -> None:
    tiles = np.zeros((1, 64, 64), np.uint8)
    tiles[:, :32, :32] = 200
    (shuffled,) = draw_bank(["shuffled scan"], 1, 64, 3, tiles).pixels
    assert 0.15 < (shuffled > 90).mean() < 0.35
    (negative,) = draw_bank(["negative of a scan"], 1, 64, 3, tiles).pixels
    assert (negative > 90).mean() > 0.6
    close_ups = draw_bank(["close-up of a scan"], 5, 64, 3, GRADIENT).pixels.astype(int)
    assert np.ptp(np.median(close_ups, axis=1), axis=1).max() < np.ptp(GRADIENT) / 2


def test_kinds_kept_for_the_test_are_kinds_of_the_bank() -> None:
    assert len(UNSEEN) >= 2
    assert set(UNSEEN) < set(DRAWN)
