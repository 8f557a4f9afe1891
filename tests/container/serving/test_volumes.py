"""serving.volumes: frames and slices as the scans of a body."""

from typing import Any

import numpy as np
import pytest

from brain_tumor.errors import ImageError, PayloadTooLargeError
from brain_tumor.serving.payloads import read_body
from tests.bodies import MAX_IMAGES, MAX_PIXELS, body_of, pixels_of, read
from tests.medical import dicom, nifti
from tests.scans import noise

DICOM, NIFTI = "application/dicom", "application/x-nifti"
FULL: dict[str, Any] = {"WindowCenter": 128, "WindowWidth": 256}
FRAMES = np.stack([noise(n, 16) for n in range(4)])
MANY = np.zeros((MAX_IMAGES + 1, 2, 2), np.uint8)


def test_all_frames_are_read_or_the_middle_one_alone() -> None:
    every = pixels_of(read(dicom(FRAMES, **FULL), DICOM))
    np.testing.assert_array_equal(every, FRAMES)
    (middle,) = pixels_of(read(dicom(FRAMES, **FULL), DICOM, dicom_frames="middle"))
    np.testing.assert_array_equal(middle, FRAMES[2])
    (only,) = pixels_of(read(dicom(FRAMES[0], **FULL), DICOM, dicom_frames="middle"))
    np.testing.assert_array_equal(only, FRAMES[0])


def test_slices_of_one_file_are_a_volume_and_a_single_dicom_frame_is_a_scan() -> None:
    bodies = {
        dicom(FRAMES, **FULL): (DICOM, True),
        dicom(FRAMES[0], **FULL): (DICOM, False),
        nifti(np.moveaxis(FRAMES, 0, 2)): (NIFTI, True),
        nifti(np.moveaxis(FRAMES[:1], 0, 2)): (NIFTI, True),
    }
    for data, (kind, is_volume) in bodies.items():
        scans = read_body(body_of(data, kind), MAX_PIXELS, MAX_IMAGES)
        assert scans.is_volume is is_volume
    one = read_body(body_of(dicom(FRAMES), DICOM), MAX_PIXELS, MAX_IMAGES, dicom_frames="middle")
    assert not one.is_volume


@pytest.mark.parametrize(
    ("data", "kind"), [(dicom(MANY), DICOM), (nifti(np.moveaxis(MANY, 0, 2)), NIFTI)]
)
def test_more_slices_than_the_limit_are_a_413_before_any_is_decoded(data: bytes, kind: str) -> None:
    with pytest.raises(PayloadTooLargeError, match=f"holds {MAX_IMAGES + 1} images"):
        read(data, kind)


def test_a_number_of_frames_that_is_a_lie_costs_nothing() -> None:
    with pytest.raises(PayloadTooLargeError, match="holds 2000000000 images"):
        read(dicom(FRAMES, NumberOfFrames=2_000_000_000), DICOM)
    items = read(dicom(FRAMES, NumberOfFrames=5), DICOM)
    assert all(isinstance(item, ImageError) for item in items)
