"""The sample payload that SageMaker's Inference Recommender sends in its load tests."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from brain_tumor import artifact, images
from brain_tumor.errors import ImageError, PayloadError
from brain_tumor.serving import payloads

_TYPES = {
    ".json": payloads.JSON,
    ".jsonl": payloads.JSON_LINES,
    ".npy": payloads.NPY,
    ".dcm": payloads.DICOM,
    ".nii": payloads.NIFTI,
    ".nii.gz": payloads.NIFTI_COMPRESSED,
}
"""Of files that are no images, by the end of their name."""


def of_files(files: Sequence[Path]) -> dict[str, bytes]:
    """Read payload files.

    Raises:
        PayloadError: two of them have one name.
    """
    payload = {file.name: file.read_bytes() for file in files}
    if len(payload) < len(files):
        raise PayloadError("Two of the files have one name; an archive of payloads has no folders.")
    return payload


def of_model(model_dir: Path) -> dict[str, bytes]:
    """Draw the images of a model's check as PNG: means of scans, which show no patient.

    Raises:
        ArtifactError: the check is damaged.
        PayloadError: the model has none.
    """
    check = artifact.load_check(model_dir)
    if check is None:
        raise PayloadError(
            f"{model_dir} holds no {artifact.CHECK_FILE} to draw scans from; name FILES to send."
        )
    return {f"scan-{n:02}.png": _png(image) for n, image in enumerate(check.images)}


def write(out: Path, payload: dict[str, bytes]) -> str:
    """Write the archive.

    Args:
        out: a name that ends in .tar.gz.
        payload: the files by name.

    Returns:
        The files' content type, for the job's SupportedContentTypes.

    Raises:
        PayloadError: the files are of several types, or `out` has another name.
    """
    if not out.name.endswith(".tar.gz"):
        raise PayloadError(f"{out} cannot be used; wanted a name that ends in .tar.gz.")
    types = {name: _content_type(name, data) for name, data in payload.items()}
    if len(set(types.values())) != 1:
        raise PayloadError(f"The files are of several types, wanted one: {types}.")
    with tarfile.open(out, "w:gz") as archive:
        for name, data in payload.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return next(iter(types.values()))


def _content_type(name: str, data: bytes) -> str:
    for suffix, known in _TYPES.items():
        if name.lower().endswith(suffix):
            return known
    try:
        images.decode(data)
    except ImageError as error:
        raise PayloadError(f"{name} is no payload: {error}") from error
    return Image.MIME[images.format_and_mode(data)[0]]


def _png(pixels: images.Pixels) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return data.getvalue()
