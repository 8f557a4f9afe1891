"""Data for the jobs of a check where the caller gives none: phantoms, drawn by local_test."""

import subprocess
import sys
import zipfile
from pathlib import Path

from local_test.emulator.channels import Channel
from local_test.emulator.errors import EmulatorError

_PHANTOMS = Path(__file__).parents[2] / "phantoms.py"
_PER_CLASS = 10


def draw_channels(folder: Path) -> list[Channel]:
    """Draw the channel `train` into a folder: a folder of images a class.

    Raises:
        EmulatorError: This Python lacks what draws them.
    """
    archive = folder / "phantoms.zip"
    words = [sys.executable, str(_PHANTOMS), str(archive), "--per-class", str(_PER_CLASS)]
    drawn = subprocess.run(words, capture_output=True, text=True)
    if drawn.returncode:
        last = drawn.stderr.strip().splitlines()[-1:]
        raise EmulatorError(
            f"No phantoms can be drawn to train on ({' '.join(last)}). Give --data, or install "
            "numpy and Pillow."
        )
    train = folder / "phantoms"
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            target = train.joinpath(*name.split("/")[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(opened.read(name))
    archive.unlink()
    return [Channel("train", train)]
