"""Request bodies to scans: which media type is read how. Knows no model."""

from collections.abc import Callable
from dataclasses import replace

from brain_tumor import images
from brain_tumor.errors import (
    ImageError,
    PayloadError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)
from brain_tumor.serving.bodies import Body, Scans
from brain_tumor.serving.forms import read_form
from brain_tumor.serving.instances import read_document, read_lines
from brain_tumor.serving.numbers import NPY_MAGIC, read_npy
from brain_tumor.serving.volumes import middle_frame, read_dicom, read_nifti
from brain_tumor.settings import DicomFrames

JSON = "application/json"
JSON_LINES = "application/jsonlines"
NPY = "application/x-npy"
FORM = "multipart/form-data"
DICOM = "application/dicom"
NIFTI = "application/x-nifti"
NIFTI_COMPRESSED = "application/gzip"
IMAGE_TYPES = (
    "image/jpeg",
    "image/png",
    "image/bmp",
    "image/gif",
    "image/webp",
    "image/tiff",
    "application/x-image",
)

Reader = Callable[[Body, int], Scans]
"""Takes the body and the most pixels of an image."""


def read_body(
    body: Body,
    max_pixels: int,
    max_images: int,
    batch: bool = False,
    dicom_frames: DicomFrames = "all",
) -> Scans:
    """Read the scans of a request body.

    Args:
        body: what was sent.
        max_pixels: the largest image that is decoded.
        max_images: the most images that are read.
        batch: the request comes from Batch Transform, which loses a whole file to one status.
        dicom_frames: which frames of a DICOM file are read.

    Returns:
        One item a scan, in order. Where the format holds several, an unreadable one is an
        `ImageError` in its place.

    Raises:
        PayloadError: the body is empty, is not what its type promises, or holds too many images.
        ImageError: the only image cannot be read, and it is no line of Batch Transform; or a header
            says of all images that they are too large.
        UnsupportedMediaTypeError: a type that is not read.
    """
    if not body.size:
        raise PayloadError(
            "The body is empty. Usual cause: curl without --data-binary @FILE, or a redirect that "
            "dropped it."
        )
    scans = _reader(body.media_type)(body, max_pixels)
    if scans.frames is not None and dicom_frames == "middle":
        scans = middle_frame(scans.frames)
    if scans.count > max_images:
        raise PayloadTooLargeError(
            f"The body holds {scans.count} images; at most {max_images} are read, the limit "
            "set by BRAIN_TUMOR_MAX_IMAGES. Send them in several requests."
        )
    if scans.count > 1 or (batch and body.media_type == JSON_LINES):
        return scans
    item = next(scans.items)
    if isinstance(item, ImageError):
        raise item
    return replace(scans, items=iter([item]))


def _reader(media_type: str) -> Reader:
    if media_type in _READERS:
        return _READERS[media_type]
    if media_type.startswith("image/"):
        return _read_image
    raise UnsupportedMediaTypeError(
        f"Content-Type {media_type[:200]!r} is not read. Wanted one of: "
        f"{', '.join(filter(None, _READERS))}. With curl: -H 'Content-Type: image/jpeg'."
    )


def _read_image(body: Body, max_pixels: int) -> Scans:
    return Scans(1, iter([images.decode(body.whole(), max_pixels)]))


def _read_by_first_bytes(body: Body, max_pixels: int) -> Scans:
    start = body.stream.read(1000)
    body.stream.seek(0)
    for reader, matches in _FIRST_BYTES:
        if matches(start):
            return reader(body, max_pixels)
    return _read_image(body, max_pixels)


_FIRST_BYTES: tuple[tuple[Reader, Callable[[bytes], bool]], ...] = (
    (read_npy, lambda start: start.startswith(NPY_MAGIC)),
    (read_dicom, images.is_dicom),
    (read_nifti, lambda start: images.is_nifti(start) or start.startswith(images.GZIP_MAGIC)),
    (read_document, lambda start: start.lstrip()[:1] == b"{"),
)
"""What else than an image a body without a telling type may be."""

_READERS: dict[str, Reader] = {
    **dict.fromkeys(IMAGE_TYPES, _read_image),
    JSON: read_document,
    JSON_LINES: read_lines,
    NPY: read_npy,
    FORM: read_form,
    DICOM: read_dicom,
    **dict.fromkeys((NIFTI, NIFTI_COMPRESSED), read_nifti),
    **dict.fromkeys(("application/octet-stream", ""), _read_by_first_bytes),
}
"""A new type is one line here."""
