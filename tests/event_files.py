"""TensorBoard's event files, read back with TensorFlow's own reader."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf


def _values(folder: Path, plugin: str) -> Iterator[tuple[str, int, Any]]:
    (file,) = folder.iterdir()
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == plugin:
                yield value.tag, event.step, tf.make_ndarray(value.tensor)


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Return tag -> step -> figure of the only file in a folder."""
    found: dict[str, dict[int, float]] = {}
    for tag, step, value in _values(folder, "scalars"):
        found.setdefault(tag, {})[step] = float(value)
    return found


def pictures(folder: Path) -> dict[str, tuple[int, tuple[int, int], bytes]]:
    """Return tag -> (step, (width, height), encoded picture)."""
    return {
        tag: (step, (int(value[0]), int(value[1])), value[2])
        for tag, step, value in _values(folder, "images")
    }
