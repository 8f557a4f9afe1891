"""NIfTI volumes to axial slices as radiologists look at them.

It imports nibabel, so that whoever reads NIfTI imports this module, and only then.
"""

import gzip
import io
import math
from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.orientations import apply_orientation, io_orientation
from numpy.typing import NDArray

from brain_tumor.errors import ImageError, ImageTooLargeError
from brain_tumor.images import (
    GZIP_MAGIC,
    MAX_PIXELS,
    PERCENTILES,
    Pixels,
    Slices,
    is_nifti,
    reading,
    square_shape,
    to_grey,
    with_square_pixels,
)

_LARGEST_HEADER = 540
_BYTES_A_PIXEL = 8
"""A volume may take so many times the limit of pixels: 400 MB at its default."""
_SAMPLES = 2_000_000
"""Voxels that percentiles are taken of, evenly from the whole volume."""


@dataclass(frozen=True)
class _Volume:
    voxels: NDArray[np.generic]
    """(x, y, z): to the patient's right, front and head."""
    sizes: tuple[float, float, float]
    """Of a voxel, in the same order."""
    slope: float
    intercept: float
    sample: NDArray[np.generic]
    """Some of the voxels, evenly from the whole volume."""

    def scaled(self, values: NDArray[np.generic]) -> NDArray[np.float64]:
        """Give what stored values mean."""
        numbers = values.astype(np.float64)
        numbers *= self.slope
        numbers += self.intercept
        return numbers


def decode_nifti(data: bytes, max_pixels: int = MAX_PIXELS) -> Slices:
    """Read a NIfTI file (.nii, .nii.gz), and make its axial slices as they are asked for.

    The first slice is the lowest. The patient's right is on the left of a picture and the front
    on top. `PERCENTILES` of the whole volume become black and white. Of several volumes the first
    is taken.

    Raises:
        ImageTooLargeError: a slice or the volume is larger than the limit, seen from the header.
        ImageError: no NIfTI, a part of a pair, colours, or a damaged file.
    """
    with reading("NIfTI"):
        volume = _read(data, max_pixels)
        width, height, count = volume.voxels.shape
        spacing = volume.sizes[1], volume.sizes[0]
        square_shape(height, width, spacing, max_pixels)
        black, white = _range(volume)

    def decode(index: int) -> Pixels:
        grey = to_grey(volume.scaled(volume.voxels[:, :, index]), black, white)
        return with_square_pixels(np.ascontiguousarray(grey[::-1, ::-1].T), spacing, max_pixels)

    return Slices(count, decode)


def _read(data: bytes, max_pixels: int) -> _Volume:
    header = _header(_start(data, _LARGEST_HEADER))
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise ImageError("The NIfTI file holds colours or complex numbers; wanted grey values.")
    # A picture is a volume of one slice; what comes after the third axis are more volumes.
    shape = (*header.get_data_shape(), 1, 1)[:3]
    offset, size = int(header.get_data_offset()), math.prod(shape) * dtype.itemsize
    if not size or offset < 0:
        raise ImageError("The NIfTI file holds no voxels.")
    if offset + size > _BYTES_A_PIXEL * max_pixels:
        raise ImageTooLargeError(
            f"The NIfTI volume {shape} of {dtype} takes {size / 1e6:.0f} MB; at most "
            f"{_BYTES_A_PIXEL * max_pixels / 1e6:g} MB are read. Send single slices."
        )
    voxels = np.frombuffer(_start(data, offset + size), dtype, math.prod(shape), offset)
    affine = header.get_best_affine()
    orientation = io_orientation(affine)
    order = np.argsort(orientation[:, 0])
    x, y, z = (float(size) for size in voxel_sizes(affine)[order])
    slope, intercept = header.get_slope_inter()
    return _Volume(
        apply_orientation(voxels.reshape(shape, order="F"), orientation),
        (x, y, z),
        1.0 if slope is None else float(slope),
        0.0 if intercept is None else float(intercept),
        # As they are stored: turned over, they would have to be copied first. A stride of rows'
        # length would see one column only.
        voxels[:: max(1, voxels.size // _SAMPLES) | 1],
    )


def _start(data: bytes, size: int) -> bytes:
    """Give the first `size` bytes, of a compressed file without unpacking more."""
    if not data.startswith(GZIP_MAGIC):
        return data[:size]
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        return file.read(size)


def _header(start: bytes) -> Nifti1Header:
    if not is_nifti(start):
        raise ImageError(
            "The bytes are no NIfTI file. Usual cause: another kind of file, compressed or not."
        )
    if start[344:347] == b"ni1" or start[4:7] == b"ni2":
        raise ImageError(
            "The NIfTI header belongs to a pair (.hdr, .img) whose voxels are in another file; "
            "send one file (.nii, .nii.gz)."
        )
    kind = Nifti1Header if start[344:347] == b"n+1" else Nifti2Header
    header: Nifti1Header = kind.from_fileobj(io.BytesIO(start))
    return header


def _range(volume: _Volume) -> tuple[float, float]:
    values = volume.scaled(volume.sample)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ImageError("The NIfTI file holds no finite value.")
    black, white = np.percentile(finite, PERCENTILES)
    return float(black), float(white)
