"""JPEG Lossless, in which most archives store MR: ITU-T T.81, process 14 (Annexes C, F and H).

No library of a permissive licence decodes its 16 bits safely: GDCM ends the whole process at many
a damaged frame (docs/dicom.md). This is NumPy, so a damaged frame is an error and nothing else.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

_SOI, _DHT, _SOS, _DRI, _SOF_LOSSLESS = 0xD8, 0xC4, 0xDA, 0xDD, 0xC3
# Every way to begin a frame of JPEG (T.81, Table B.1) and of JPEG-LS.
_SOF = {*range(0xC0, 0xD0), 0xF7} - {_DHT, 0xC8, 0xCC}
_BLOCK = 1 << 18
"""Bytes of entropy-coded data that are looked at together."""

Shape = tuple[int, int, int]
"""Height, width and components."""


def shape_of(frame: bytes) -> Shape:
    """Read the shape from the header of a frame of any kind of JPEG, or of JPEG-LS.

    Raises:
        ValueError: there is no such header before the first scan.
    """
    for marker, start in _segments(frame):
        if marker in _SOF:
            # The number of components is the lower byte of the last word.
            height, width, components = (_word(frame, start + at) for at in (1, 3, 4))
            return height, width, components & 0xFF
        if marker == _SOS:
            break
    raise ValueError("a frame without a header")


def decode(frame: bytes, shape: Shape) -> NDArray[np.uint16]:
    """Decode JPEG Lossless (process 14, any predictor), 2 to 16 bits, without subsampling.

    Args:
        frame: as it stands in the file.
        shape: what it must have; a frame of another one is not decoded.

    Returns:
        (height, width, components).

    Raises:
        ValueError: it is damaged, of another shape or another kind of JPEG.
    """
    tables: dict[int, _Table] = {}
    header: _Header | None = None
    decoded: dict[int, NDArray[np.uint16]] = {}
    restart = 0
    for marker, start in _segments(frame):
        body = frame[start : start + _word(frame, start - 2) - 2]
        if marker == _DHT:
            tables |= _read_tables(body)
        elif marker == _DRI:
            restart = _word(body, 0)
        elif marker in _SOF:
            if header is not None:
                raise ValueError("a second header")
            header = _read_header(marker, body)
            if header.shape != shape:
                raise ValueError(f"a frame of {header.shape}, but {shape} announced")
        elif marker == _SOS:
            if header is None:
                raise ValueError("a scan before its header")
            scan = _read_scan(body, tables)
            data = frame[start + len(body) :]
            planes = _decode_scan(data, header, scan, restart)
            decoded |= dict(zip(scan.components, planes, strict=True))
    if header is None or set(decoded) != set(header.components):
        raise ValueError("components are missing")
    return np.stack([decoded[component] for component in header.components], axis=2)


def _word(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise ValueError("the frame ends early")
    return int.from_bytes(data[at : at + 2], "big")


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield each marker that has a segment and where its content starts, behind the length."""
    if frame[:2] != bytes((0xFF, _SOI)):
        raise ValueError("no JPEG")
    at = 2
    # Markers without a segment, and stuffed bytes of scans, are passed over.
    while found := re.compile(rb"\xff+([\x01-\xcf\xda-\xfe])").search(frame, at):
        yield found[1][0], found.end() + 2
        at = found.end() + _word(frame, found.end())


@dataclass(frozen=True)
class _Table:
    """A Huffman table of differences, by the next 16 bits."""

    length: NDArray[np.uint8]
    """Bits of the code; 0 where there is none."""
    category: NDArray[np.uint8]
    """How many bits tell the difference (T.81, Table H.2)."""

    @property
    def steps(self) -> NDArray[np.uint8]:
        """Bits of code and difference together; 16 is told by the code alone."""
        together = self.length + np.where(self.category == 16, 0, self.category)
        # What is no code is walked over, and found afterwards.
        return np.where(self.length == 0, 32, together).astype(np.uint8)


def _read_tables(body: bytes) -> dict[int, _Table]:
    tables, at = {}, 0
    while at < len(body):
        counts, symbols = (
            body[at + 1 : at + 17],
            body[at + 17 : at + 17 + sum(body[at + 1 : at + 17])],
        )
        if len(counts) < 16 or len(symbols) < sum(counts) or max(symbols, default=17) > 16:
            raise ValueError("a damaged Huffman table")
        tables[body[at]] = _table(counts, symbols)
        at += 17 + len(symbols)
    return tables


def _table(counts: bytes, symbols: bytes) -> _Table:
    length, category = np.zeros(1 << 16, np.uint8), np.zeros(1 << 16, np.uint8)
    start, rest = 0, iter(symbols)
    for bits, count in enumerate(counts, 1):
        for symbol in islice(rest, count):
            end = start + (1 << (16 - bits))
            length[start:end], category[start:end] = bits, symbol
            start = end
    if start > 1 << 16:
        raise ValueError("a Huffman table with too many codes")
    return _Table(length, category)


@dataclass(frozen=True)
class _Header:
    precision: int
    height: int
    width: int
    components: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        return self.height, self.width, len(self.components)


def _read_header(marker: int, body: bytes) -> _Header:
    if marker != _SOF_LOSSLESS:
        raise ValueError("another kind of JPEG")
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise ValueError("a damaged header")
    header = _Header(body[0], _word(body, 1), _word(body, 3), tuple(body[6::3]))
    if set(body[7::3]) != {0x11} or not 2 <= header.precision <= 16 or not header.height:
        raise ValueError("subsampled, or of an unknown precision or height")
    return header


@dataclass(frozen=True)
class _Scan:
    components: tuple[int, ...]
    tables: tuple[_Table, ...]
    predictor: int
    shift: int
    """The point transform: bits that were cut off."""


def _read_scan(body: bytes, tables: dict[int, _Table]) -> _Scan:
    count = body[0] if body else 0
    if len(body) != 4 + 2 * count or not count:
        raise ValueError("a damaged scan header")
    selected = [selector >> 4 for selector in body[2 : 2 + 2 * count : 2]]
    predictor, shift = body[-3], body[-1] & 15
    if not set(selected) <= set(tables) or not 1 <= predictor <= 7:
        raise ValueError("a scan without its table, or with an unknown predictor")
    return _Scan(
        tuple(body[1 : 1 + 2 * count : 2]), tuple(tables[s] for s in selected), predictor, shift
    )


def _decode_scan(
    data: bytes, header: _Header, scan: _Scan, restart: int
) -> list[NDArray[np.uint16]]:
    """Decode the planes, (height, width) each, of the components of a scan."""
    count = len(scan.components)
    # A restart interval is a number of whole rows (T.81, H.1.1); prediction begins anew in each.
    rows = restart // header.width if restart else header.height
    if not rows or restart % header.width:
        raise ValueError("restarts within a row")
    end = re.search(rb"\xff[\x01-\xcf\xd8-\xfe]", data)
    parts = re.split(rb"\xff[\xd0-\xd7]", data[: end.start()] if end else data)
    planes = np.empty((count, header.height, header.width), np.uint16)
    for number, first in enumerate(range(0, header.height, rows)):
        if number == len(parts):
            raise ValueError("the frame ends early")
        height = min(rows, header.height - first)
        stream = parts[number].replace(b"\xff\x00", b"\xff")
        differences = _differences(stream, scan.tables, height * header.width * count)
        for plane, part in zip(
            planes, differences.reshape(height, header.width, count).T, strict=True
        ):
            middle = 1 << (header.precision - scan.shift - 1)
            plane[first : first + height] = _undo(part.T, scan.predictor, middle) << scan.shift
    return list(planes)


def _differences(data: bytes, tables: Sequence[_Table], count: int) -> NDArray[np.int32]:
    """Decode `count` differences, whose tables follow each other in turn.

    Where a code starts is known only once the one before is read. So the length that a code would
    have is looked up for every bit at once, and only the steps from code to code are Python.
    """
    found = np.empty(count, np.int32)
    done, bit = 0, 0
    for start in range(0, len(data), _BLOCK):
        windows = _windows(data[start : start + _BLOCK + 4])
        lengths = [table.steps[windows >> 16].tobytes() for table in tables]
        positions: list[int] = []
        last = 8 * len(data[start : start + _BLOCK])
        for length in islice(cycle(lengths), done % len(tables), None):
            if bit >= last or done + len(positions) == count:
                break
            positions.append(bit)
            bit += length[bit]
        part = windows[positions]
        for number, table in enumerate(tables):
            turn = slice((number - done) % len(tables), None, len(tables))
            found[done : done + len(part)][turn] = _values(part[turn], table)
        done, bit = done + len(part), bit - last
        if done == count:
            break
    if done < count or (bit > 0 and start + _BLOCK >= len(data)):
        raise ValueError("the frame ends early")
    return found


def _windows(data: bytes) -> NDArray[np.uint32]:
    """Give the 32 bits from every bit on; beyond the end are zeros."""
    padded = np.frombuffer(data + bytes(5), np.uint8).astype(np.uint64)
    size = len(data)
    five = sum(padded[at : at + size] << np.uint64(32 - 8 * at) for at in range(5))
    shifted = np.asarray(five)[:, np.newaxis] >> np.arange(8, 0, -1, dtype=np.uint64)
    return shifted.astype(np.uint32).ravel()


def _values(windows: NDArray[np.uint32], table: _Table) -> NDArray[np.int32]:
    codes = windows >> 16
    length, category = table.length[codes].astype(np.int64), table.category[codes].astype(np.int64)
    if not length.all():
        raise ValueError("a code that is in no table")
    bits = (windows.astype(np.int64) << length & 0xFFFFFFFF) >> (32 - category)
    # A first bit of 0 stands for a negative number (T.81, Figure F.12).
    values = np.where(bits < (1 << category >> 1), bits - (1 << category) + 1, bits)
    return np.where(category == 16, 1 << 15, values).astype(np.int32)


def _undo(differences: NDArray[np.int32], predictor: int, middle: int) -> NDArray[np.uint16]:
    """Add what was predicted from left, above and above left (T.81, Table H.1), modulo 2^16."""
    rows = np.empty(differences.shape, np.int64)
    rows[0] = (differences[0].cumsum() + middle) & 0xFFFF
    for number in range(1, len(rows)):
        rows[number] = _undo_row(differences[number].astype(np.int64), rows[number - 1], predictor)
    return rows.astype(np.uint16)


def _undo_row(
    difference: NDArray[np.int64], above: NDArray[np.int64], predictor: int
) -> NDArray[np.int64]:
    # The first of a row is always predicted from above.
    difference[0] += above[0]
    steps = np.diff(above)
    if predictor == 1:
        row = difference.cumsum()
    elif predictor in (2, 3):
        row = difference
        row[1:] += above[1:] if predictor == 2 else above[:-1]
    elif predictor in (4, 5):
        difference[1:] += steps if predictor == 4 else steps >> 1
        row = difference.cumsum()
    else:
        row = _undo_row_by_steps(difference, above, predictor)
    return row & 0xFFFF


def _undo_row_by_steps(
    difference: NDArray[np.int64], above: NDArray[np.int64], predictor: int
) -> NDArray[np.int64]:
    """Undo the two predictors that halve what is on the left, which no running sum does."""
    up = above.tolist()
    row = [int(difference[0]) & 0xFFFF]
    for at, change in enumerate(difference[1:].tolist(), 1):
        left = row[-1]
        guess = up[at] + ((left - up[at - 1]) >> 1) if predictor == 6 else (left + up[at]) >> 1
        row.append((guess + change) & 0xFFFF)
    return np.array(row)
