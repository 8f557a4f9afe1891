"""How a DICOM frame is shown: its lookup tables, window, colours and the shape of its pixels.

The order is that of DICOM PS3.4, N.2: modality LUT, then VOI LUT or window, then presentation.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.multival import MultiValue
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi

from brain_tumor.images import PERCENTILES, Pixels, to_grey

_PALETTE = [
    f"{kind}{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for kind, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
]
# How a frame is shown; in enhanced files in the first item of these macros.
_SHOWN = (
    *_PALETTE,
    "PhotometricInterpretation",
    "PixelSpacing",
    "PixelAspectRatio",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
)
_GROUPS = ("PixelMeasuresSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence")
TAGS = (
    *_SHOWN,
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""All that this module looks at."""


def header(file: FileDataset, index: int) -> Dataset:
    """Give the tags that say how a frame is shown; enhanced files hold them in groups."""
    header = Dataset()
    header.file_meta = file.file_meta
    for name in _SHOWN:
        if name in file:
            header.add(file[name])
    shared = (file.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = (file.get("PerFrameFunctionalGroupsSequence") or [])[index : index + 1]
    for group in (*shared, *own):
        for name in _GROUPS:
            for item in (group.get(name) or [])[:1]:
                header.update(item)
    return header


def spacing(header: Dataset) -> tuple[float, float]:
    """Give the distances from row to row and from column to column, in mm or as a ratio."""
    spacing = header.get("PixelSpacing") or header.get("PixelAspectRatio") or (1, 1)
    return float(spacing[0]), float(spacing[1])


def grey(values: NDArray[np.generic], header: Dataset) -> Pixels:
    """Make (height, width) uint8 of a frame as pydicom decodes it, grey or red, green and blue."""
    if header.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, header)[..., :3]
    if values.ndim == 3:
        # pydicom gives red, green and blue, whichever colours the file has.
        if values.dtype != np.uint8:
            values = to_grey(values, 0, 2 ** (8 * values.itemsize) - 1)
        return np.array(Image.fromarray(values).convert("L"))
    grey = _windowed(apply_modality_lut(values, header), header)
    return 255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey


def _windowed(values: NDArray[np.generic], header: Dataset) -> Pixels:
    """Show grey values as the file says (DICOM PS3.3, C.11.2), or by percentiles."""
    if header.get("VOILUTSequence"):
        white = 2 ** header.VOILUTSequence[0].LUTDescriptor[2] - 1
        return to_grey(apply_voi(values, header), 0, white)
    center, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR").upper()
    # Narrower windows are errors; some files have a width of 0.
    if center is None or width is None or not width >= (1 if function == "LINEAR" else 1e-9):
        return to_grey(
            values, *np.percentile(values.astype(np.float64), PERCENTILES, overwrite_input=True)
        )
    if function == "SIGMOID":
        return to_grey(1 / (1 + np.exp(-4 * (values.astype(np.float64) - center) / width)), 0, 1)
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    return to_grey(values, center - width / 2, center + width / 2)


def _first(value: Any) -> float | None:
    """Give the first of several windows: the one that a viewer shows first."""
    values = value if isinstance(value, MultiValue) else [value]
    first = values[0] if len(values) else None
    return None if first in (None, "") else float(first)
