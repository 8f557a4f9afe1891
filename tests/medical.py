"""DICOM and NIfTI files for tests."""

import gzip
import io
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
"""What pydicom's own package brings; nothing is downloaded."""


def dicom(
    pixels: NDArray[Any] | list[bytes],
    syntax: str = ExplicitVRLittleEndian,
    preamble: bool = True,
    **tags: Any,
) -> bytes:
    """Write a DICOM file of MR.

    Args:
        pixels: (height, width) of whole numbers, (frames, height, width), or with three colours;
            or frames that are encoded already, whose size `tags` tell.
        syntax: its transfer syntax.
        preamble: begin as a file does, with 128 bytes, DICM and what the file is.
        tags: by keyword; None leaves one out.
    """
    data = Dataset()
    described: dict[str, Any] = {"Modality": "MR", "SOPClassUID": MRImageStorage}
    if isinstance(pixels, list):
        described |= {"PixelData": encapsulate(pixels), "NumberOfFrames": len(pixels)}
    else:
        described |= _describe(pixels)
    for name, value in (described | tags).items():
        if value is not None:
            setattr(data, name, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    data.file_meta.MediaStorageSOPClassUID = MRImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data, enforce_file_format=preamble)
    return stream.getvalue() if preamble else _without_head(stream.getvalue())


def _without_head(data: bytes) -> bytes:
    return data[132:] if data[128:132] == b"DICM" else data


def _describe(pixels: NDArray[Any]) -> dict[str, Any]:
    colour = pixels.shape[-1] == 3 and pixels.ndim > 2
    shape = pixels.shape[:-1] if colour else pixels.shape
    bits = 8 * pixels.itemsize
    described: dict[str, Any] = {
        "Rows": shape[-2],
        "Columns": shape[-1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes() + bytes(pixels.nbytes % 2),
    }
    if colour:
        described["PlanarConfiguration"] = 0
    if len(shape) == 3:
        described["NumberOfFrames"] = shape[0]
    return described


def item(**tags: Any) -> list[Dataset]:
    """Give the sequence of one item with these tags."""
    data = Dataset()
    for name, value in tags.items():
        setattr(data, name, value)
    return [data]


def nifti(voxels: NDArray[Any], affine: NDArray[Any] | None = None, **options: Any) -> bytes:
    """Write a NIfTI file.

    Args:
        voxels: (x, y, z) or more.
        affine: from indices to mm; without one the axes lead right, front and up.
        options: `kind` (nibabel.Nifti2Image), `compressed`, `slope` and `intercept`.
    """
    kind = options.get("kind", nibabel.Nifti1Image)
    image = kind(voxels, np.eye(4) if affine is None else affine)
    image.header.set_slope_inter(options.get("slope", 1), options.get("intercept", 0))
    data: bytes = image.to_bytes()
    return gzip.compress(data) if options.get("compressed") else data
