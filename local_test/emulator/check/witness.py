"""What is seen of one run of `train`: lines with their times, and what it leaves behind."""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from local_test.emulator.container import Container
from local_test.emulator.files import Tree
from local_test.emulator.layout import CHECKPOINTS
from local_test.emulator.process import Process

# /dev and /proc are the kernel's; what else the engine itself makes in a container.
_NOT_WRITTEN_BY_IT = ("/opt/ml", "/tmp", "/var/tmp", "/dev", "/proc", "/sys", "/run")  # noqa: S108


@dataclass
class Seen:
    """One attempt on one host.

    Attributes:
        start: When it was started, on the monotonic clock.
        end: When it ended.
        lines: When each line came, and the line.
        failure: output/failure as it was left; None if it was not.
        inputs: Digests of the files below input, before the start and at the end.
        models: What lies in model: name and whether it is a file or folder.
        checkpoints: Names of files in checkpoints at the end.
        written: Paths outside of /opt/ml and /tmp that it made or changed.
    """

    start: float = 0.0
    end: float = 0.0
    lines: list[tuple[float, str]] = field(default_factory=list)
    failure: bytes | None = None
    inputs: tuple[Mapping[str, bytes], Mapping[str, bytes]] = ({}, {})
    models: Mapping[str, bool] = field(default_factory=dict)
    checkpoints: Sequence[str] = ()
    written: Sequence[str] = ()

    @property
    def seconds(self) -> float:
        """How long it ran."""
        return self.end - self.start

    def last_line(self) -> str:
        """Return the last line of the log that is not empty, shortened."""
        lines = [line.strip() for _, line in self.lines if line.strip()]
        return lines[-1][:200] if lines else "(it printed nothing)"


class Witness:
    """Passes all on to what runs, and notes what is seen. It is a `Running`."""

    def __init__(self, running: Container | Process, seen: Seen) -> None:
        self._running = running
        self._seen = seen

    def start(self) -> None:
        """Start it, with a look at what it is given."""
        self._before = self._inputs()
        self._seen.start = time.monotonic()
        self._running.start()

    def lines(self) -> Iterator[str]:
        """Give each line, noting when it came."""
        for line in self._running.lines():
            self._seen.lines.append((time.monotonic(), line))
            yield line

    def wait(self) -> int:
        """Wait for its end."""
        code = self._running.wait()
        self._seen.end = time.monotonic()
        return code

    def pid(self) -> int | None:
        """Return its number."""
        return self._running.pid()

    def stop(self, grace: float) -> None:
        """Stop it."""
        self._running.stop(grace)

    def kill(self) -> None:
        """Kill it."""
        self._running.kill()

    def read(self, path: str) -> Tree:
        """Read of it."""
        return self._running.read(path)

    def remove(self) -> None:
        """Remove it, after a look at what it leaves if it has run."""
        try:
            if self._seen.end:
                self._look()
        finally:
            self._running.remove()

    def _look(self) -> None:
        seen = self._seen
        seen.inputs = (self._before, self._inputs())
        with self.read("output/failure") as tree:
            # It may be a folder, too.
            if "." in tree.files():
                with tree.open(".") as stream:
                    seen.failure = stream.read()
        with self.read("model") as tree:
            seen.models = {n: m.isreg() or m.isdir() or m.islnk() for n, m in tree.members.items()}
            seen.models.pop(".", None)
        with self.read(CHECKPOINTS) as tree:
            seen.checkpoints = tree.files()
        if isinstance(self._running, Container):
            seen.written = written_outside(self._running.changes())

    def _inputs(self) -> dict[str, bytes]:
        with self.read("input") as tree:
            digests = {}
            for name in tree.files():
                with tree.open(name) as stream:
                    digests[name] = hashlib.file_digest(stream, "sha256").digest()  # type: ignore[arg-type]
            return digests


def written_outside(changed: Sequence[str]) -> list[str]:
    """Return the files alone, without the folders above them, which change with them.

    Python's own byte code does not count: nothing is lost with it.
    """
    inside = tuple(f"{path}/" for path in _NOT_WRITTEN_BY_IT)
    above = {str(folder) for path in changed for folder in PurePosixPath(path).parents}
    above |= {str(folder) for path in _NOT_WRITTEN_BY_IT for folder in PurePosixPath(path).parents}
    return sorted(
        path
        for path in changed
        if path not in above and not f"{path}/".startswith(inside) and "/__pycache__" not in path
    )
