"""Scans in DICOM and NIfTI files: each frame, each axial slice.

What reads such files is imported with the first of them: `serve` starts faster without.
"""

from collections.abc import Iterator

from brain_tumor.errors import ImageError
from brain_tumor.images import Slices
from brain_tumor.serving.bodies import Body, Item, Scans


def read_dicom(body: Body, max_pixels: int) -> Scans:
    """Read the frames of a DICOM file.

    Raises:
        ImageError: it is none, or holds no frames that are read.
    """
    from brain_tumor.dicom import decode_dicom

    slices = decode_dicom(body.whole(), max_pixels)
    return Scans(slices.count, _items(slices), slices.count > 1, slices)


def read_nifti(body: Body, max_pixels: int) -> Scans:
    """Read the axial slices of a NIfTI file, compressed or not; always as a volume.

    Raises:
        ImageError: it is none, or holds no volume that is read.
    """
    from brain_tumor.nifti import decode_nifti

    slices = decode_nifti(body.whole(), max_pixels)
    return Scans(slices.count, _items(slices), is_volume=True)


def middle_frame(frames: Slices) -> Scans:
    """Give the middle one alone."""
    return Scans(1, iter([_item(frames, frames.count // 2)]))


def _items(slices: Slices) -> Iterator[Item]:
    return (_item(slices, index) for index in range(slices.count))


def _item(slices: Slices, index: int) -> Item:
    try:
        return slices.decode(index)
    except ImageError as error:
        return error
