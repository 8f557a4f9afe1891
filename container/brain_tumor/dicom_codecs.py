"""How each compressed DICOM frame is decoded, so that a damaged one costs nothing but an error.

Frames come from anyone, and a decoder that crashes or hangs takes the server along. Plugins of
pydicom that bore damaged frames are used as they are; the others' work is done here, by a plugin
of our own (docs/dicom.md has the reasons).
"""

import subprocess
import sys
import threading

import numpy as np
from PIL import Image
from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner

from brain_tumor import jpeg_lossless

_OURS = "brain_tumor"
PLUGINS: dict[str, str] = {
    **dict.fromkeys((uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((uid.JPEGLossless, uid.JPEGLosslessSV1), _OURS),
    **dict.fromkeys((uid.JPEGLSLossless, uid.JPEGLSNearLossless), _OURS),
    **dict.fromkeys((uid.JPEG2000Lossless, uid.JPEG2000), "pylibjpeg"),
    **dict.fromkeys((uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K), "pylibjpeg"),
    uid.RLELossless: _OURS,
}
"""The plugin for each compressed transfer syntax that is read."""
_JPEG2000 = {syntax for syntax, plugin in PLUGINS.items() if plugin == "pylibjpeg"}

# What pydicom asks a plugin for.
DECODER_DEPENDENCIES: dict[str, tuple[str, ...]] = {
    syntax: () for syntax, plugin in PLUGINS.items() if plugin == _OURS
}

_JPEG_LS_SECONDS = 10
_JPEG_LS_PROCESSES = threading.BoundedSemaphore(4)


def is_available(syntax: str) -> bool:
    """Tell pydicom what `decode_frame` decodes."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame for pydicom.

    Raises:
        ValueError: the frame is damaged, or not what its file announces.
    """
    if runner.transfer_syntax == uid.RLELossless:
        return _decode_rle(frame, runner)
    if runner.transfer_syntax in uid.JPEGLSTransferSyntaxes:
        return _decode_jpeg_ls(frame, runner)
    runner.set_option("planar_configuration", 0)
    samples = jpeg_lossless.decode(frame)
    wanted = (runner.rows, runner.columns, runner.samples_per_pixel)
    if samples.shape != wanted:
        raise ValueError(f"the frame holds {samples.shape} samples, not {wanted}")
    return samples.astype(f"<u{runner.bits_allocated // 8}").tobytes()


def require_size(frame: bytes, syntax: str, rows: int, columns: int) -> None:
    """Make sure that a frame is as large as its file announces: decoders believe the frame.

    Raises:
        ValueError: it is not.
    """
    if syntax == uid.RLELossless:  # has no size of its own
        return
    size = _jpeg2000_size(frame) if syntax in _JPEG2000 else jpeg_lossless.size_of(frame)
    if size != (rows, columns):
        raise ValueError(f"a frame of {size}, but {(rows, columns)} announced")


def _jpeg2000_size(frame: bytes) -> tuple[int, int]:
    # The codestream begins with SOC and SIZ (ITU-T T.800, A.5.1).
    if not frame.startswith(b"\xff\x4f\xff\x51") or len(frame) < 24:
        raise ValueError("a frame without a header")
    right, bottom, left, top = (int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20))
    return bottom - top, right - left


def _decode_rle(frame: bytes, runner: DecodeRunner) -> bytes:
    """Unpack the segments, one for each byte of each sample (DICOM PS3.5, Annex G).

    By Pillow, which never writes more than was announced; pydicom's own decoder has no bound.
    """
    pixels, size = runner.rows * runner.columns, runner.bits_allocated // 8
    count, *starts = np.frombuffer(frame[:64], "<u4").tolist()
    if count != runner.samples_per_pixel * size:
        raise ValueError(f"{count} segments for {runner.samples_per_pixel} samples of {size} bytes")
    ends = [*starts[1:count], len(frame)]
    planes = [
        # As one row, so that a run may cross the end of a line, which some writers do.
        Image.frombytes("L", (pixels, 1), frame[start:end], "packbits", "L").tobytes()
        for start, end in zip(starts, ends, strict=False)
    ]
    runner.set_option("planar_configuration", 1)
    # The most significant byte comes first, and little endian is wanted.
    parts = np.frombuffer(b"".join(planes), np.uint8).reshape(-1, size, pixels)
    return parts[:, ::-1].swapaxes(1, 2).tobytes()


def _decode_jpeg_ls(frame: bytes, runner: DecodeRunner) -> bytes:
    """Decode by CharLS in a process of its own: at damaged data it can run on for ever."""
    with _JPEG_LS_PROCESSES:
        try:
            child = subprocess.run(
                [sys.executable, "-I", "-c", _JPEG_LS],
                input=frame,
                capture_output=True,
                timeout=_JPEG_LS_SECONDS,
                check=True,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise ValueError("damaged JPEG-LS") from error
    precision, planes = child.stdout[0], child.stdout[1]
    runner.set_option("planar_configuration", planes)
    runner.set_option("bits_allocated", 8 if precision <= 8 else 16)
    return child.stdout[2:]


_JPEG_LS = """
import sys, jpeg_ls
pixels, header = jpeg_ls.decode_pixel_data(sys.stdin.buffer.read())
# Mode 0 interleaves nothing: a plane for each component.
planes = header["components"] > 1 and header["interleave_mode"] == 0
sys.stdout.buffer.write(bytes((header["bits_per_sample"], planes)) + pixels)
"""


def register() -> None:
    """Make `decode_frame` known to pydicom; once is enough, and more does no harm."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if _OURS not in decoder.available_plugins:
            decoder.add_plugin(_OURS, (__name__, decode_frame.__name__))
