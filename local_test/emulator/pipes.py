"""Pipe mode: one FIFO an epoch, `<channel>_0`, `<channel>_1`, …, with the data streamed through.

The reader has to run on the same kernel: in a virtual machine, as Docker Desktop's, it never sees
what is written here.
"""

import errno
import os
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from local_test.emulator.channels import Wrapper
from local_test.emulator.recordio import frame

# How often a FIFO that nobody has opened is looked at.
_LOOK_SECONDS = 0.02


class Feeder:
    """Feeds one channel in a thread, epoch after epoch, until the block ends."""

    def __init__(
        self, channel: str, objects: Iterable[Path], folder: Path, wrapper: Wrapper = "None"
    ) -> None:
        self._channel = channel
        self._objects = list(objects)
        self._folder = folder
        self._wrapper = wrapper
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._make(0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _make(self, epoch: int) -> Path:
        path = self._folder / f"{self._channel}_{epoch}"
        os.mkfifo(path)
        path.chmod(0o644)
        return path

    def _feed(self) -> None:
        epoch, path = 0, self._folder / f"{self._channel}_0"
        while (pipe := self._open(path)) is not None:
            # The next one is there before this one ends, so that a reader need not wait for it.
            epoch += 1
            path = self._make(epoch)
            # A reader may close early, and the next epoch begins.
            try:
                with pipe:
                    for source in self._objects:
                        self._send(source, pipe)
            except BrokenPipeError:
                continue

    def _open(self, path: Path) -> IO[bytes] | None:
        """Open a FIFO once there is a reader; None once the block ends."""
        while not self._ended.is_set():
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                self._ended.wait(_LOOK_SECONDS)
            else:
                os.set_blocking(descriptor, True)
                return os.fdopen(descriptor, "wb")
        return None

    def _send(self, source: Path, pipe: IO[bytes]) -> None:
        with source.open("rb") as stream:
            if self._wrapper == "None":
                shutil.copyfileobj(stream, pipe)
            else:
                pipe.write(frame(stream.read()))
