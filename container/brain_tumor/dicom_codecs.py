"""How each compressed DICOM frame is decoded, so that a damaged one costs nothing but an error.

Frames come from anyone, and a decoder that crashes or hangs takes the server along. Plugins of
pydicom that bore damaged frames are used as they are; the others' work is done here
(docs/dicom.md has the reasons).
"""

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.pixels import get_decoder, pixel_array
from pydicom.pixels.decoders import pillow, pylibjpeg
from pydicom.pixels.decoders.base import DecodeRunner

from brain_tumor import jpeg_lossless
from brain_tumor.jpeg_lossless import Shape

_PLUGIN = "brain_tumor"
_JPEG_LS_SECONDS = 10
_JPEG_LS_PROCESSES = threading.BoundedSemaphore(4)


def pixels(file: FileDataset, index: int) -> NDArray[Any]:
    """Decode a frame, compressed or not.

    Raises:
        TimeoutError: the decoder was given up.
        MemoryError: there is not enough for it.
        Exception: of any kind, where the file is damaged.
    """
    plugin = _PLUGIN if file.file_meta.TransferSyntaxUID in DECODERS else ""
    raised: list[Exception] = []
    try:
        return pixel_array(file, index=index, decoding_plugin=plugin, raised=raised)
    except RuntimeError:
        if raised:
            raise raised[0] from None
        raise


def is_available(syntax: str) -> bool:
    """Tell pydicom what `decode_frame` decodes."""
    return syntax in DECODERS


def decode_frame(frame: bytes, runner: DecodeRunner) -> bytes | bytearray:
    """Decode one frame for pydicom.

    Raises:
        Exception: the frame is damaged, or not what its file announces.
    """
    try:
        return DECODERS[runner.transfer_syntax](frame, runner)
    except (MemoryError, TimeoutError) as error:
        # pydicom makes one RuntimeError of all that plugins raise.
        runner.get_option("raised").append(error)
        raise


def require_shape(frame: bytes, syntax: str, shape: Shape) -> None:
    """Make sure that a frame is as large as its file announces: decoders believe the frame.

    Args:
        frame: as it stands in the file.
        syntax: its transfer syntax.
        shape: rows, columns and samples per pixel.

    Raises:
        Exception: it is not.
    """
    if syntax == uid.RLELossless:  # has no size of its own
        return
    if syntax in _BASELINE:
        found = _shape_for_pillow(frame)
    else:
        found = (_jpeg2000_shape if syntax in _JPEG2000 else jpeg_lossless.shape_of)(frame)
    if found != shape:
        raise ValueError(f"a frame of {found}, but {shape} announced")


def _shape_for_pillow(frame: bytes) -> Shape:
    # By Pillow itself: of several headers it makes room for what the last says.
    with Image.open(io.BytesIO(frame), formats=("JPEG",)) as image:
        return image.height, image.width, len(image.getbands())


def _jpeg2000_shape(frame: bytes) -> Shape:
    # The codestream begins with SOC and SIZ (ITU-T T.800, A.5.1).
    if not frame.startswith(b"\xff\x4f\xff\x51") or len(frame) < 42:
        raise ValueError("a frame without a header")
    right, bottom, left, top = (int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20))
    return bottom - top, right - left, int.from_bytes(frame[40:42], "big")


def _decode_jpeg_lossless(frame: bytes, runner: DecodeRunner) -> bytes:
    runner.set_option("planar_configuration", 0)
    shape = runner.rows, runner.columns, runner.samples_per_pixel
    samples = jpeg_lossless.decode(frame, shape)
    return samples.astype(f"<u{runner.bits_allocated // 8}").tobytes()


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
    most = 2 * runner.rows * runner.columns * runner.samples_per_pixel
    with _JPEG_LS_PROCESSES:
        try:
            child = subprocess.run(
                [sys.executable, "-I", "-c", _JPEG_LS, str(most)],
                input=frame,
                capture_output=True,
                # NumPy's threads, which nothing uses, would count as memory.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                timeout=_JPEG_LS_SECONDS,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"JPEG-LS takes more than {_JPEG_LS_SECONDS} s") from error
        except subprocess.CalledProcessError as error:
            raise ValueError("damaged JPEG-LS") from error
    precision, planes = child.stdout[0], child.stdout[1]
    runner.set_option("planar_configuration", planes)
    runner.set_option("bits_allocated", 8 if precision <= 8 else 16)
    return child.stdout[2:]


# 256 MB are for Python and its libraries, of which 110 were seen.
_JPEG_LS = """
import contextlib, resource, sys
frame, most = sys.stdin.buffer.read(), int(sys.argv[1])
limit = 256_000_000 + 2 * len(frame) + 4 * most
with contextlib.suppress(ValueError):  # macOS has no such limit
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
import jpeg_ls
pixels, header = jpeg_ls.decode_pixel_data(frame)
if len(pixels) > most:
    sys.exit("more pixels than announced")
# Mode 0 interleaves nothing: a plane for each component.
planes = header["components"] > 1 and header["interleave_mode"] == 0
sys.stdout.buffer.write(bytes((header["bits_per_sample"], planes)))
sys.stdout.buffer.write(pixels)
"""

_BASELINE = (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit)
_JPEG2000 = (
    *(uid.JPEG2000Lossless, uid.JPEG2000),
    *(uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K),
)
DECODERS: dict[str, Callable[[bytes, DecodeRunner], bytes | bytearray]] = {
    **dict.fromkeys(_BASELINE, pillow._decode_frame),
    **dict.fromkeys(_JPEG2000, pylibjpeg._decode_frame),
    **dict.fromkeys((uid.JPEGLossless, uid.JPEGLosslessSV1), _decode_jpeg_lossless),
    **dict.fromkeys((uid.JPEGLSLossless, uid.JPEGLSNearLossless), _decode_jpeg_ls),
    uid.RLELossless: _decode_rle,
}
"""What decodes each compressed transfer syntax that is read."""

# What pydicom asks a plugin for.
DECODER_DEPENDENCIES: dict[str, tuple[str, ...]] = {syntax: () for syntax in DECODERS}


def register() -> None:
    """Make `decode_frame` known to pydicom; once is enough, and more does no harm."""
    for syntax in DECODERS:
        decoder = get_decoder(uid.UID(syntax))
        if _PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(_PLUGIN, (__name__, decode_frame.__name__))
