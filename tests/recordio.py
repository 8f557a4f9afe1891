"""RecordIO as the emulator writes it, and image records as MXNet's im2rec writes them."""

import struct

from local_test.emulator.recordio import MAGIC
from local_test.emulator.recordio import frame as recordio

__all__ = ["MAGIC", "image_record", "recordio"]


def image_record(image: bytes, label: float, several: bool = False) -> bytes:
    """Pack an image as im2rec does; its labels follow the header where there are several."""
    if several:
        return struct.pack("<IfQQ", 1, 0, 7, 0) + struct.pack("<f", label) + image
    return struct.pack("<IfQQ", 0, label, 7, 0) + image
