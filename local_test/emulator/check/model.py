"""The files of a model: what became of them, and a broken copy."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local_test.emulator.hosting.definition import readable_folder


def digests(folder: Path) -> dict[str, bytes]:
    """Return a digest of each file of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).digest() for p in files}


@contextmanager
def broken_copy(model: Path) -> Iterator[Path]:
    """Give a copy of a model, each file of which is cut in half."""
    with readable_folder() as copy:
        for path in sorted(model.rglob("*")):
            target = copy / path.relative_to(model)
            if path.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                content = path.read_bytes()
                target.write_bytes(content[: len(content) // 2])
        yield copy
