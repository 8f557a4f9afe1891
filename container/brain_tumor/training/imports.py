"""Keras without what it imports in case somebody asks for it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Let `import` find none of these packages; one that was imported before stays.

    Keras imports scikit-learn and Matplotlib for wrappers and galleries, and does without them
    where they are not installed: 1.2 s that the first step would wait for.
    """
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in names if name not in modules]
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
