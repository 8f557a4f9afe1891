"""RecordIO, as dmlc-core (MXNet) writes it: what Pipe mode wraps objects in when it is asked to."""

import struct

MAGIC = struct.pack("<I", 0xCED7230A)


def frame(payload: bytes) -> bytes:
    """Frame a payload as one record: magic number, flag (3 bits) and length (29), payload, padding.

    It is cut where the magic number stands at a multiple of four, which then is left out.
    """
    cuts = [n for n in range(0, len(payload) - 3, 4) if payload[n : n + 4] == MAGIC]
    starts, ends = [0, *(cut + 4 for cut in cuts)], [*cuts, len(payload)]
    parts = [payload[start:end] for start, end in zip(starts, ends, strict=True)]
    flags = [0] if len(parts) == 1 else [1, *[2] * (len(parts) - 2), 3]
    return b"".join(
        MAGIC + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4)
        for flag, part in zip(flags, parts, strict=True)
    )
