"""Generated scans by the thousand, for benchmarks of memory and time; each has its own tissue."""

import io
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("glioma", "meningioma", "notumor", "pituitary")
_SHARES = {"Train.zip": 0.8, "Val.zip": 0.1, "Test.zip": 0.1}
_SIZE = 224
_BLOCK = 500


def write_parts(folder: Path, count: int) -> None:
    """Write Train.zip, Val.zip and Test.zip with `count` scans together, unless they are there."""
    if (folder / "Test.zip").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    with ProcessPoolExecutor() as pool:
        for name, share in _SHARES.items():
            numbers = range(first, first + round(share * count))
            first = numbers.stop
            with zipfile.ZipFile(folder / name, "w") as archive:
                for number, data in zip(
                    numbers, pool.map(scan, numbers, chunksize=_BLOCK), strict=True
                ):
                    label = CLASSES[number % len(CLASSES)]
                    archive.writestr(f"{label}/{number:06}.jpg", data)


def scan(number: int) -> bytes:
    """Draw one scan, 224 x 224, as JPEG: tissue of its own in a skull, brighter in some classes."""
    random = np.random.default_rng(number)
    kind = number % len(CLASSES)
    tissue = random.normal(90, 40, (14, 14))
    row, column = divmod(kind, 2)
    tissue[4 + 4 * row : 6 + 4 * row, 4 + 4 * column : 6 + 4 * column] += 90
    coarse = Image.fromarray(tissue.clip(20, 220).astype(np.uint8))
    grey = np.asarray(coarse.resize((_SIZE, _SIZE), Image.Resampling.BICUBIC))
    centre, radius = random.normal(_SIZE / 2, 6, 2), random.uniform(72, 100, 2)
    y, x = np.ogrid[:_SIZE, :_SIZE]
    reach = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2
    pixels = np.where(reach > 1.15, 4, np.where(reach > 1, 190, grey)).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=90)
    return data.getvalue()
