"""serving.overlay: a scan with its heat map laid over it."""

import io
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

import brain_tumor
from brain_tumor.serving.classifier import Prediction
from brain_tumor.serving.overlay import FULL_COLOUR, describe, draw
from tests.classifiers import model_info
from tests.scans import noise

SCAN = noise(0, 96)


def _drawn(evidence: list[list[float]], scan: NDArray[np.uint8] = SCAN) -> NDArray[np.float64]:
    picture = Image.open(io.BytesIO(draw(scan, np.array(evidence, np.float32), {})))
    assert (picture.format, picture.mode) == ("PNG", "RGB")
    assert picture.size == scan.shape[::-1]
    return np.asarray(picture, np.float64)


def _change(evidence: list[list[float]]) -> NDArray[np.float64]:
    """Give by how much each pixel's colour differs from the scan's grey: (height, width)."""
    difference: NDArray[np.float64] = np.abs(_drawn(evidence) - SCAN[..., np.newaxis]).max(axis=2)
    return difference


@pytest.mark.parametrize("shape", [(96, 144), (1, 1), (7, 500), (500, 7)])
def test_the_picture_is_of_the_scans_own_size(shape: tuple[int, int]) -> None:
    _drawn([[3, -2], [0, 9]], np.full(shape, 100, np.uint8))


def test_what_speaks_against_the_class_or_says_nothing_leaves_the_scan_as_it_is() -> None:
    np.testing.assert_array_equal(_change([[0, -5], [-100, 0]]), 0)


def test_the_colour_is_where_the_evidence_is() -> None:
    change = _change([[0, 0, 9], [0, 0, 0]])
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert row < 48
    assert column > 96
    assert change[48:, :48].max() == 0
    assert change[:24, 120:].min() > 20


def test_more_evidence_is_lighter_and_hides_more_of_the_scan() -> None:
    flat = np.full((20, 20), 128, np.uint8)
    dark, light = np.zeros((20, 20), np.uint8), np.full((20, 20), 255, np.uint8)
    lightness, seen_through = [], []
    for share in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        evidence = [[share * FULL_COLOUR]]
        # ITU-R 709, of what is laid on: the scan's own part is the same of both.
        opacity = 1 - (_drawn(evidence, light) - _drawn(evidence, dark)).mean() / 255
        colour = (_drawn(evidence, flat)[0, 0] - (1 - opacity) * 128) / opacity
        lightness.append(colour @ [0.2126, 0.7152, 0.0722])
        seen_through.append(1 - opacity)
    assert (np.diff(lightness) > 5).all()
    assert (np.diff(seen_through) < -0.04).all()
    assert seen_through[-1] > 0.4


def test_one_colour_means_the_same_of_every_scan() -> None:
    alone = _drawn([[4.0]])
    beside_more = _drawn([[4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 16.0]])
    np.testing.assert_allclose(beside_more[:, :70], alone[:, :70], atol=2)
    np.testing.assert_array_equal(_drawn([[FULL_COLOUR]]), _drawn([[2 * FULL_COLOUR]]))


def _text(data: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(data)) as picture:
        return {key: str(value) for key, value in cast("PngImageFile", picture).text.items()}


@pytest.mark.parametrize("label", ["glioma", "Гλιοмα"])
def test_answer_model_and_caution_stand_in_the_file_and_not_in_the_picture(label: str) -> None:
    info = model_info(created="2026-01-02T03:04:05Z")
    prediction = Prediction(label, 0.9876543, {label: 0.9876543}, "not_brain_mri")
    data = draw(SCAN, np.zeros((2, 2), np.float32), describe(prediction, info))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)))[..., 0], SCAN)
    text = _text(data)
    assert text.pop("Disclaimer").startswith("Not a diagnosis")
    assert text == {
        "label": label,
        "probability": "0.987654",
        "decision": "not_brain_mri",
        "model": "2026-01-02T03:04:05+00:00",
        "full colour": "evidence of 16 in log-odds",
        "Software": f"brain-tumor {brain_tumor.__version__}",
    }
