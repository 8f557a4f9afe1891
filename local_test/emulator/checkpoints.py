"""Checkpoints as the platform keeps them: one folder in S3 for all hosts, uncompressed.

What a host writes appears there and what it deletes goes; each host starts with all that is there.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from local_test.emulator.channels import Channel
from local_test.emulator.files import Tree


def synchronise(hosts: Iterable[Tree], folder: Path) -> None:
    """Bring into a folder what hosts changed since they started with its content."""
    restored = {key: _digest(path) for key, path in _listed(folder).items()}
    for tree in hosts:
        left = set(tree.files())
        for name in left:
            if _changed(tree, name, restored.get(name)):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with tree.open(name) as stream, target.open("wb") as copy:
                    shutil.copyfileobj(stream, copy)
        for name in restored.keys() - left:
            (folder / name).unlink(missing_ok=True)


def _listed(folder: Path) -> dict[str, Path]:
    return Channel(folder.name, folder).objects()


def _changed(tree: Tree, name: str, before: bytes | None) -> bool:
    with tree.open(name) as stream:
        return _digest_of(stream) != before


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return _digest_of(stream)


def _digest_of(stream: IO[bytes]) -> bytes:
    return hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type]
