"""Scans for tests: images of noise, encoded, and archives of them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.data.stored_pixels import StoredPixels
from brain_tumor.data.thumbnails import Thumbnails, draw_thumbnails


def noise(seed: int, size: int = 64) -> NDArray[np.uint8]:
    """Draw grey noise, wider than high so that a turned image is told from an upright one."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (size, size + size // 2), dtype=np.uint8)


def head(seed: int, change: float = 0) -> NDArray[np.uint8]:
    """Draw a head, 160 x 160: smooth tissue of its own in an ellipse of its own on black.

    With `change` (grey levels) the tissue differs a little, as in a neighbouring slice.
    """
    random = np.random.default_rng(seed)
    centre, radius = random.normal(80, 3, 2), random.uniform(48, 62, 2)
    tissue = random.normal(110, 40, (14, 14)) + change * random.normal(0, 1, (14, 14))
    coarse = Image.fromarray(tissue.clip(20, 220).astype(np.uint8))
    grey = np.asarray(coarse.resize((160, 160), Image.Resampling.BICUBIC))
    y, x = np.ogrid[:160, :160]
    reach = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2
    return np.where(reach > 1.15, 0, np.where(reach > 1, 190, grey)).astype(np.uint8)


def encode(image: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    """Encode an image, or an array of pixels, in one of Pillow's formats."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    data = io.BytesIO()
    picture.save(data, kind, **options)
    return data.getvalue()


def jpeg(seed: int, size: int = 64, mode: str = "L") -> bytes:
    """Encode noise as JPEG."""
    return encode(Image.fromarray(noise(seed, size)).convert(mode), "JPEG")


def png(seed: int, size: int = 64, mode: str = "L") -> bytes:
    """Encode noise as PNG."""
    return encode(Image.fromarray(noise(seed, size)).convert(mode), "PNG")


def write_zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip; a name that ends in a slash is a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_folder(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write files below a folder; a name that ends in a slash is a folder."""
    path.mkdir(parents=True, exist_ok=True)
    for name, data in members.items():
        target = path / name
        if name.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return path


def thumbnails_of(pictures: Sequence[NDArray[np.uint8]]) -> Thumbnails:
    """Draw the thumbnails of pictures (height, width)."""
    drawn = [draw_thumbnails(np.ascontiguousarray(picture)) for picture in pictures]
    whole, heads = zip(*drawn, strict=True)
    return Thumbnails(StoredPixels.of(np.stack(whole)), StoredPixels.of(np.stack(heads)))
