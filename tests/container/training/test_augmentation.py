"""training.augmentation: random variations of scans."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from brain_tumor.training import augmentation
from brain_tumor.training.augmentation import augment
from brain_tumor.training.strategy import Part

SIZE = 64


def _scan() -> NDArray[np.float32]:
    """Draw a head with a bright lesion on the left of it."""
    image = Image.new("L", (SIZE, SIZE))
    draw = ImageDraw.Draw(image)
    draw.ellipse((12, 8, 52, 58), fill=90)
    draw.ellipse((18, 24, 28, 36), fill=220)
    return np.asarray(image, np.float32)[..., np.newaxis]


SCANS = np.stack([_scan()] * 200)


def _varied(seed: int = 0, scans: NDArray[np.float32] = SCANS) -> NDArray[np.float32]:
    varied = augment(tf.constant(scans), tf.constant([seed, 1]), len(scans))
    result: NDArray[np.float32] = varied.numpy()
    return result


def test_every_scan_of_a_batch_is_varied_in_its_own_way_and_stays_in_range() -> None:
    varied = _varied()
    assert varied.shape == SCANS.shape
    assert varied.dtype == np.float32
    assert np.isfinite(varied).all()
    assert varied.min() >= 0
    assert varied.max() <= 255
    assert len({scan.tobytes() for scan in varied}) == len(varied)


def test_the_same_seed_gives_the_same_pictures() -> None:
    np.testing.assert_array_equal(_varied(5), _varied(5))
    assert not np.array_equal(_varied(5), _varied(6))


@pytest.mark.parametrize("count", [2, 3])
def test_the_part_of_a_host_is_varied_as_it_is_within_the_whole_batch(count: int) -> None:
    scans, seed = SCANS[:8], tf.constant([0, 1])
    parts = [
        augment(tf.constant(scans[part.of(8)]), seed, 8, part)
        for part in (Part(index, count) for index in range(count))
    ]
    # Vectors of another length are rounded otherwise.
    np.testing.assert_allclose(tf.concat(parts, axis=0), _varied(scans=scans), rtol=0, atol=0.01)


def test_half_of_the_scans_are_mirrored_and_none_is_upside_down() -> None:
    varied = _varied()[..., 0]
    bright = varied >= np.quantile(varied, 0.97, axis=(1, 2), keepdims=True)
    across, down = np.arange(SIZE), np.arange(SIZE)[:, None]
    columns = (bright * across).sum(axis=(1, 2)) / bright.sum(axis=(1, 2))
    rows = (bright * down).sum(axis=(1, 2)) / bright.sum(axis=(1, 2))
    assert 0.4 < (columns > SIZE / 2).mean() < 0.6
    assert np.quantile(rows, 0.95) < 0.65 * SIZE


@pytest.mark.parametrize(
    ("share", "measure"),
    [
        ("_BLANKED", lambda v: (v[:, 0, :] == 0).all(axis=(1, 2))),
        ("_NOISY", lambda v: v[:, 20:44, 20:44, 0].std(axis=(1, 2)) > 1),
    ],
)
def test_shortcuts_are_varied_for_the_stated_share_of_scans(
    share: str, measure: Callable[[NDArray[np.float32]], NDArray[np.bool_]]
) -> None:
    # Of a picture that is grey all over, so that what is measured is there for each scan.
    grey = np.full((400, SIZE, SIZE, 1), 120, np.float32)
    varied = _varied(scans=grey)
    assert measure(varied).mean() == pytest.approx(getattr(augmentation, share), abs=0.1)


def test_brightness_and_contrast_differ_from_scan_to_scan() -> None:
    middle = _varied(scans=np.full((200, SIZE, SIZE, 1), 120, np.float32))[:, 30:34, 30:34, 0]
    levels = middle.mean(axis=(1, 2))
    assert levels.std() > 15
    assert levels.mean() == pytest.approx(120, abs=12)
