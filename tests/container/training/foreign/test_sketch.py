"""training.foreign.sketch: what drawn pictures are made of."""

import numpy as np
import pytest

from brain_tumor.training.foreign.sketch import CANVAS, cloud, to_pixels, vary


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_a_clouds_spectrum_falls_as_asked(exponent: float) -> None:
    field = cloud(np.random.default_rng(0), exponent)
    assert field.shape == (CANVAS, CANVAS)
    assert field.std() == pytest.approx(1)
    amplitude = np.abs(np.fft.fft2(field))[1:, 0][: CANVAS // 2 - 1]
    frequency = np.arange(1, CANVAS // 2)
    slope, _ = np.polyfit(np.log(frequency), np.log(amplitude), 1)
    assert slope == pytest.approx(-exponent, abs=0.35)


def test_pixels_are_rounded_and_cut_off() -> None:
    np.testing.assert_array_equal(to_pixels(np.array([[-5.0, 1.6, 300.0]])), [[0, 2, 255]])


def test_a_varied_picture_keeps_its_shape_and_shows_the_same() -> None:
    picture = np.zeros((80, 80), np.uint8)
    picture[30:50, 30:50] = 200
    for seed in range(20):
        varied = vary(picture, np.random.default_rng(seed))
        assert varied.shape == (80, 80)
        assert varied.dtype == np.uint8
        assert varied[35:45, 35:45].mean() > varied[:20].mean() + 50
