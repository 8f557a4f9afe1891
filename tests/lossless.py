"""An encoder of JPEG Lossless (ITU-T T.81, Annex H), as slow and plain as the text of the norm."""

import struct

import numpy as np
from numpy.typing import NDArray

# All 17 categories have a code of 5 bits.
_CODE_BITS = 5
_TABLE = bytes([0, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])


def encode(
    samples: NDArray[np.uint16],
    precision: int,
    predictor: int,
    *,
    shift: int = 0,
    restart_rows: int = 0,
    interleaved: bool = True,
) -> bytes:
    """Encode (height, width, components).

    Args:
        samples: below 2 to the power of `precision`.
        precision: bits of a sample.
        predictor: 1 to 7.
        shift: bits that are cut off.
        restart_rows: restart after so many rows; 0 for never.
        interleaved: one scan for all components, or one for each.
    """
    height, width, count = samples.shape
    parts = [b"\xff\xd8", _segment(0xC4, _TABLE)]
    header = b"".join(bytes([number + 1, 0x11, 0]) for number in range(count))
    parts.append(_segment(0xC3, struct.pack(">BHHB", precision, height, width, count) + header))
    if restart_rows:
        parts.append(_segment(0xDD, struct.pack(">H", restart_rows * width)))
    scans = [range(count)] if interleaved else [range(one, one + 1) for one in range(count)]
    for scan in scans:
        selected = b"".join(bytes([number + 1, 0]) for number in scan)
        parts.append(_segment(0xDA, bytes([len(scan)]) + selected + bytes([predictor, 0, shift])))
        planes = (samples >> shift).astype(int)[..., list(scan)]
        rows = restart_rows or height
        for number, first in enumerate(range(0, height, rows)):
            if number:
                parts.append(bytes([0xFF, 0xD0 + (number - 1) % 8]))
            middle = 1 << (precision - shift - 1)
            parts.append(_entropy_coded(planes[first : first + rows], predictor, middle))
    return b"".join([*parts, b"\xff\xd9"])


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _entropy_coded(planes: NDArray[np.int_], predictor: int, middle: int) -> bytes:
    bits = "".join(
        _code(int(planes[y, x, c]) - _predict(planes[..., c], y, x, predictor, middle))
        for y, x, c in np.ndindex(*planes.shape)
    )
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")


def _predict(plane: NDArray[np.int_], y: int, x: int, predictor: int, middle: int) -> int:
    if y == 0:
        return int(plane[0, x - 1]) if x else middle
    if x == 0:
        return int(plane[y - 1, 0])
    left, above, corner = int(plane[y, x - 1]), int(plane[y - 1, x]), int(plane[y - 1, x - 1])
    return {
        1: left,
        2: above,
        3: corner,
        4: left + above - corner,
        5: left + ((above - corner) >> 1),
        6: above + ((left - corner) >> 1),
        7: (left + above) >> 1,
    }[predictor]


def _code(difference: int) -> str:
    # Modulo 2^16, from -32767 to 32768.
    value = (difference + 32767) % 65536 - 32767
    category = abs(value).bit_length()
    code = f"{category:0{_CODE_BITS}b}"
    if category in (0, 16):
        return code
    return code + f"{value if value > 0 else value + (1 << category) - 1:0{category}b}"
