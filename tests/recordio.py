"""RecordIO as dmlc-core writes it, and image records as MXNet's im2rec writes them."""

import struct

MAGIC = struct.pack("<I", 0xCED7230A)


def recordio(data: bytes) -> bytes:
    """Frame data as one record; it is cut where the magic number stands at a multiple of four."""
    cuts = [n for n in range(0, len(data) - 3, 4) if data[n : n + 4] == MAGIC]
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(data)]
    parts = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    flags = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        MAGIC + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4)
        for flag, part in zip(flags, parts, strict=True)
    )


def image_record(image: bytes, label: float, several: bool = False) -> bytes:
    """Pack an image as im2rec does; its labels follow the header where there are several."""
    if several:
        return struct.pack("<IfQQ", 1, 0, 7, 0) + struct.pack("<f", label) + image
    return struct.pack("<IfQQ", 0, label, 7, 0) + image
