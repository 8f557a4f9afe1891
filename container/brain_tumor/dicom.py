"""DICOM files to pixels. No tag that tells who the patient is is even read.

What a file says of itself stands in no message either: damaged files have anything anywhere. It
imports pydicom, so that whoever reads DICOM imports this module, and only then.
"""

import io
import threading
import zlib
from functools import partial

from pydicom import dcmread, uid
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset

from brain_tumor import dicom_codecs
from brain_tumor import dicom_display as display
from brain_tumor.errors import ImageError, ImageTooLargeError
from brain_tumor.images import (
    MAX_PIXELS,
    Pixels,
    Slices,
    is_dicom,
    reading,
    square_shape,
    with_square_pixels,
)

MODALITIES = ("MR", "CT")
"""CT too: whether a picture is a brain MRI is for the model to say, and it sees many more kinds."""
# Named in messages; anything else might be a name that stands where it should not.
_OTHER_MODALITIES = (
    *("CR", "DX", "ECG", "KO", "MG", "NM", "OT", "PR", "PT", "RTDOSE", "RTIMAGE", "RTPLAN"),
    *("RTSTRUCT", "SC", "SEG", "SR", "US", "XA"),
)
_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
_TAGS = [
    *display.TAGS,
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
]
"""All that is read of a file."""

_STEP = 1 << 20

# At import, which happens once even when several threads read their first file at a time.
dicom_codecs.register()


def decode_dicom(data: bytes, max_pixels: int = MAX_PIXELS) -> Slices:
    """Read a DICOM file, and decode its frames as they are asked for.

    Grey values go through the file's modality LUT or rescale, and through its first VOI LUT or
    window; without one, `PERCENTILES` of the frame become black and white. MONOCHROME1 is
    inverted, colours become grey, pixels become square.

    Args:
        data: the file; the preamble may be missing.
        max_pixels: the largest frame, seen from the header alone.

    Raises:
        ImageTooLargeError: a frame has more pixels than `max_pixels`, or its file inflates to more
            than that could need.
        ImageError: no DICOM, no image, neither MR nor CT, not decodable or damaged.
    """
    with reading("DICOM"):
        file = _read(data, max_pixels)
        count = int(file.get("NumberOfFrames") or 1)
        if count < 1:
            raise ImageError("The DICOM file says that it has no frames.")
        # One that can be seen to be too large or of no known spacing fails before it is decoded.
        spacing = display.spacing(display.header(file, 0))
        square_shape(int(file.Rows), int(file.Columns), spacing, max_pixels)
    return Slices(count, partial(_decode, file, count, max_pixels, threading.Event()))


def _read(data: bytes, max_pixels: int) -> FileDataset:
    _check_inflated(data, max_pixels)
    file = dcmread(io.BytesIO(data), force=True, specific_tags=list(_TAGS))
    if not len(file) and not len(file.file_meta):
        raise ImageError("The bytes are no DICOM file. Usual cause: another kind of file.")
    modality = file.get("Modality")
    if modality not in MODALITIES:
        known = f"modality {modality}" if modality in _OTHER_MODALITIES else "another modality"
        found = known if modality else "no modality"
        raise ImageError(f"The DICOM file is of {found}; wanted MR (or CT) images.")
    if "PixelData" not in file or "Rows" not in file or "Columns" not in file:
        raise ImageError("The DICOM file holds no image: no pixels, or no rows and columns.")
    syntax = file.file_meta.get("TransferSyntaxUID") or _guessed_syntax(file)
    if syntax not in _NATIVE and syntax not in dicom_codecs.DECODERS:
        name = syntax.name if syntax.is_transfer_syntax else "unknown"
        raise ImageError(
            f"The DICOM file's transfer syntax is not read: {name}. Wanted an uncompressed one, "
            "JPEG, JPEG-LS, JPEG 2000 or RLE; dcmconv or gdcmconv --raw makes one."
        )
    if syntax == uid.JPEGExtended12Bit and file.BitsStored > 8:
        raise ImageError("The DICOM file holds lossy JPEG of 12 bits, which is not read; wanted 8.")
    file.file_meta.TransferSyntaxUID = syntax
    return file


def _guessed_syntax(file: FileDataset) -> uid.UID:
    implicit, little = file.original_encoding
    if implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian


def _check_inflated(data: bytes, max_pixels: int) -> None:
    """Refuse a deflated file that becomes larger than anything that is read, before it does."""
    stream = io.BytesIO(data)
    stream.seek(132 if is_dicom(data[:132]) else 0)
    meta = read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 != 2,
    )
    if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
        return
    inflater, rest, limit = zlib.decompressobj(-zlib.MAX_WBITS), stream.read(), 4 * max_pixels
    while limit >= 0 and rest and not inflater.eof:
        limit -= len(inflater.decompress(rest, _STEP))
        rest = inflater.unconsumed_tail
    if limit < 0:
        raise ImageTooLargeError(
            f"The deflated DICOM file holds more than {4 * max_pixels / 1e6:g} MB; send fewer "
            "frames, or send them uncompressed."
        )


def _decode(
    file: FileDataset, count: int, max_pixels: int, given_up: threading.Event, index: int
) -> Pixels:
    # A file of many such frames would hold its thread for many times the decoder's limit.
    if given_up.is_set():
        raise ImageError(
            "The frame was not tried, for an earlier one of the DICOM file took too long to "
            "decode. Usual cause: a truncated upload or copy."
        )
    with reading("DICOM"):
        syntax = file.file_meta.TransferSyntaxUID
        if syntax in dicom_codecs.DECODERS:
            shape = file.Rows, file.Columns, file.SamplesPerPixel
            dicom_codecs.require_shape(_frame(file, count, index), syntax, shape)
        try:
            values = dicom_codecs.pixels(file, index)
        except TimeoutError:
            given_up.set()
            raise
        header = display.header(file, index)
        grey = display.grey(values, header)
        return with_square_pixels(grey, display.spacing(header), max_pixels)


def _frame(file: FileDataset, count: int, index: int) -> bytes:
    return get_frame(
        file.PixelData, index, number_of_frames=count, extended_offsets=_extended_offsets(file)
    )


def _extended_offsets(file: FileDataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" in file and "ExtendedOffsetTableLengths" in file:
        return file.ExtendedOffsetTable, file.ExtendedOffsetTableLengths
    return None
