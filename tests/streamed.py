"""A streamed mount for tests: every read and every listing below a folder is written down."""

import builtins
import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch


@dataclass
class Requests:
    """What was asked of a mount."""

    reads: list[tuple[str, int, int]] = field(default_factory=list)
    """(path, offset, bytes), in their order."""
    opened: Counter[str] = field(default_factory=Counter)
    listed: Counter[str] = field(default_factory=Counter)

    def bytes_of(self, path: Path) -> int:
        """Return how many bytes of a file were read."""
        return sum(count for name, _, count in self.reads if name == str(path))


class _File(io.FileIO):
    def __init__(self, path: str, requests: Requests) -> None:
        super().__init__(path)
        self._path, self._requests = path, requests
        requests.opened[path] += 1

    def readinto(self, buffer: Any) -> int:
        start, count = self.tell(), super().readinto(buffer) or 0
        self._requests.reads.append((self._path, start, count))
        return count

    def readall(self) -> bytes:
        start, data = self.tell(), super().readall() or b""
        self._requests.reads.append((self._path, start, len(data)))
        return data


@contextmanager
def watched(folder: Path) -> Iterator[Requests]:
    """Write down what is opened, read and listed below a folder."""
    requests = Requests()
    real_open, real_scandir, real_listdir = builtins.open, os.scandir, os.listdir

    def watched_open(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if isinstance(file, int) or not Path(file).is_relative_to(folder):
            return real_open(file, mode, *rest, **options)
        assert mode == "rb", f"{file} is opened for {mode}"
        return io.BufferedReader(_File(str(file), requests))

    def listed(real: Any, path: Any) -> Any:
        requests.listed[str(path)] += 1
        return real(path)

    with (
        patch.object(io, "open", watched_open),
        patch.object(builtins, "open", watched_open),
        patch.object(os, "scandir", lambda path=".": listed(real_scandir, path)),
        patch.object(os, "listdir", lambda path=".": listed(real_listdir, path)),
    ):
        yield requests
