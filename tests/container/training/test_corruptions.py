"""training.corruptions: ways in which a scan may look different."""

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.training.corruptions import (
    BLANKED,
    CORRUPTIONS,
    POSES,
    Corruption,
    add_noise,
    add_salt_and_pepper,
    add_stripes,
    blank_border,
    blank_centre,
    blur,
    brighten,
    compress,
    darken,
    deepen_shadows,
    flatten_contrast,
    halve_resolution,
    keep_border_only,
    lift_shadows,
    mirror,
    rotate,
    shift,
    turn_upside_down,
)

EVERY = {**CORRUPTIONS, **POSES, **BLANKED}


def _scans(size: int = 112) -> NDArray[np.uint8]:
    """Two scans with a bright block off the middle, on a grey ramp."""
    ramp = np.tile(np.linspace(30, 150, size), (2, size, 1))
    ramp[:, size // 4 : size // 2, size // 5 : size // 3] = 220
    return ramp.astype(np.uint8)


@pytest.mark.parametrize("size", [32, 160])
@pytest.mark.parametrize("name", EVERY)
def test_shape_and_type_stay_and_the_scan_changes(name: str, size: int) -> None:
    scans = _scans(size)
    before = scans.copy()
    changed = EVERY[name](scans)
    assert changed.shape == scans.shape
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(scans, before)
    assert (changed != scans).mean() > 0.003
    np.testing.assert_array_equal(EVERY[name](scans), changed)


def test_no_two_conditions_have_one_name_and_there_are_eight_artefacts_at_least() -> None:
    assert len(EVERY) == len(CORRUPTIONS) + len(POSES) + len(BLANKED)
    assert len(CORRUPTIONS) >= 8


@pytest.mark.parametrize("name", EVERY)
def test_black_and_white_scans_overflow_nowhere(name: str) -> None:
    for grey in (0, 255):
        changed = EVERY[name](np.full((1, 64, 64), grey, np.uint8))
        # An overflow would turn white into black or the other way round.
        assert abs(float(np.median(changed[:, 20:-20, 20:-20])) - grey) <= 40 or name in BLANKED


def test_noise_has_the_deviation_it_names() -> None:
    grey = np.full((2, 128, 128), 128, np.uint8)
    assert (add_noise(grey).astype(float) - 128).std() == pytest.approx(15, rel=0.03)
    assert (add_stripes(grey).astype(float) - 128).std() == pytest.approx(20 / 2**0.5, rel=0.03)
    dotted = add_salt_and_pepper(grey)
    assert (dotted == 0).mean() == pytest.approx(0.01, abs=0.002)
    assert (dotted == 255).mean() == pytest.approx(0.01, abs=0.002)


def test_brightness_contrast_and_gamma_move_grey_levels_as_they_say() -> None:
    scans = np.array([[[0, 51], [153, 255]]], np.uint8)
    assert brighten(scans).ravel().tolist() == [40, 91, 193, 255]
    assert darken(scans).ravel().tolist() == [0, 11, 113, 215]
    # The mean is 114.75.
    assert flatten_contrast(scans).ravel().tolist() == [46, 76, 138, 199]
    assert lift_shadows(scans).ravel().tolist() == [0, round(255 * 0.2**0.6), 188, 255]
    assert deepen_shadows(scans).ravel().tolist() == [0, round(255 * 0.2**1.6), 113, 255]


def test_poses_are_what_their_names_say() -> None:
    scans = np.array([[[1, 2], [3, 4]]], np.uint8)
    assert mirror(scans).tolist() == [[[2, 1], [4, 3]]]
    assert turn_upside_down(scans).tolist() == [[[3, 4], [1, 2]]]


def test_a_shift_brings_black_in_and_keeps_the_rest() -> None:
    scans = _scans(112)
    moved = shift(scans)
    assert not moved[:, :8].any()
    assert not moved[:, :, :8].any()
    np.testing.assert_array_equal(moved[:, 8:, 8:], scans[:, :-8, :-8])


def test_turning_there_and_back_leaves_the_middle_nearly_as_it_was() -> None:
    scans = blur(_scans(112))
    back = rotate(rotate(scans)[:, :, ::-1])[:, :, ::-1]
    middle = (slice(None), slice(40, -40), slice(40, -40))
    difference = np.abs(back[middle].astype(float) - scans[middle])
    assert difference.mean() < 3
    assert np.abs(rotate(scans).astype(float) - scans)[middle].mean() > 2 * difference.mean()


@pytest.mark.parametrize("change", [blur, compress, halve_resolution])
def test_detail_is_lost_but_not_brightness(change: Corruption) -> None:
    scans = np.random.default_rng(0).integers(60, 200, (2, 112, 112)).astype(np.uint8)
    changed = change(scans)
    assert changed.std() < 0.95 * scans.std()
    assert changed.mean() == pytest.approx(scans.mean(), abs=1)


def test_the_border_and_the_rest_are_blanked_apart() -> None:
    scans = np.full((1, 224, 224), 200, np.uint8)
    border, only_border, centre = (
        change(scans) for change in (blank_border, keep_border_only, blank_centre)
    )
    assert (border > 0).sum() == 208**2
    np.testing.assert_array_equal(border > 0, only_border == 0)
    assert (centre == 0).sum() == (224 - 56) ** 2
    assert only_border[0, 7, 100] == 200
    assert only_border[0, 8, 100] == 0
