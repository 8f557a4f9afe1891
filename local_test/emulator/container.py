"""One container on the Docker engine, from its making to its removal."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from docker.errors import APIError, NotFound

from local_test.emulator.errors import EmulatorError
from local_test.emulator.files import Files, Tree, to_tar
from local_test.emulator.running import START_FAILED

# The engine's answer to a start when the fault is the image's.
_NO_SUCH_PROGRAM = 400


class Container:
    """A container, from its making to its removal. It is a `Running`."""

    def __init__(self, container: Any) -> None:
        self._container = container
        self._not_started: str | None = None

    def put(self, files: Files) -> None:
        """Copy files below /opt/ml, before the start."""
        with to_tar(files, "opt/ml") as packed:
            self._container.put_archive("/", packed)

    def start(self) -> None:
        """Start it; where the image has no such program, `wait` gives 127 and `lines` the reason.

        Raises:
            EmulatorError: The engine cannot give what the container needs, such as GPUs.
        """
        try:
            self._container.start()
        except APIError as error:
            if error.status_code != _NO_SUCH_PROGRAM:
                raise EmulatorError(f"The engine starts no such container: {error}") from error
            self._not_started = str(error.explanation or error)

    def lines(self) -> Iterator[str]:
        """Give each line of stdout and stderr as it comes, until the container ends."""
        if self._not_started is not None:
            yield self._not_started
            return
        rest = b""
        for chunk in self._container.logs(stream=True, follow=True):
            *complete, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace") for line in complete)
        if rest:
            yield rest.decode(errors="replace")

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        if self._not_started is not None:
            return START_FAILED
        return int(self._container.wait()["StatusCode"])

    def stop(self, grace: float) -> None:
        """Do as `docker stop -t GRACE`: SIGTERM to process 1, SIGKILL to all after the seconds."""
        # It may be removed meanwhile, when the emulator itself is ended.
        with contextlib.suppress(NotFound):
            self._container.stop(timeout=round(grace))

    def kill(self) -> None:
        """Kill all its processes at once."""
        try:
            self._container.kill()
        except APIError as error:
            # It has ended already, or was never started.
            if error.status_code != 409:
                raise

    def read(self, path: str) -> Tree:
        """Read a file or folder below /opt/ml, while it runs or after; an absent one is empty."""
        try:
            chunks, _ = self._container.get_archive(f"/opt/ml/{path}")
        except NotFound:
            return Tree()
        packed = tempfile.TemporaryFile()  # noqa: SIM115 - the tree closes it
        packed.writelines(chunks)
        packed.seek(0)
        return Tree(packed)

    def remove(self) -> None:
        """Remove it with its volumes; what runs in it is killed."""
        with contextlib.suppress(NotFound):
            self._container.remove(force=True, v=True)

    @property
    def id(self) -> str:
        """What the engine knows it by."""
        return str(self._container.id)

    def pid(self) -> int | None:
        """Return the number of its first process on the engine's kernel, while it runs."""
        return int(self.attributes["State"]["Pid"]) or None

    def changes(self) -> list[str]:
        """Return the paths in its own layer that were made, changed or deleted since its making."""
        return [str(change["Path"]) for change in self._container.diff() or []]

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What the engine says of it now: state, health, ports, networks."""
        self._container.reload()
        return dict(self._container.attrs)
