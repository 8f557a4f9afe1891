"""A command of this machine in place of a container, with SAGEMAKER_BASE_DIR for /opt/ml."""

import os
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from local_test.emulator.errors import EmulatorError
from local_test.emulator.files import Files, Tree, write
from local_test.emulator.running import START_FAILED


def split_words(command: str) -> list[str]:
    """Return the words of a command as a shell has them.

    Raises:
        EmulatorError: There are none, or a quote is not closed.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise EmulatorError(f"--command {command}: {error}.") from error
    if not words:
        raise EmulatorError("--command has no word: wanted a program, such as serve.")
    return words


def refuse_without_docker(asked: Mapping[str, object]) -> None:
    """Refuse what only an engine can give.

    Args:
        asked: By what it is called, whether it is asked for.

    Raises:
        EmulatorError: Something is.
    """
    if missing := [what for what, wanted in asked.items() if wanted]:
        raise EmulatorError(f"Without Docker there is no emulation of {' and '.join(missing)}.")


class Process:
    """A command, from its making to the removal of its folder. It is a `Running`.

    Not as on the platform: it runs as the caller, sees all of this machine and its network, and is
    not process 1. Its children die with it, as in a container.
    """

    def __init__(self, command: Sequence[str], base: Path, environment: Mapping[str, str]) -> None:
        self._command = list(command)
        self._base = base
        self._environment = {**os.environ, **environment, "SAGEMAKER_BASE_DIR": str(base)}
        self._popen: subprocess.Popen[bytes] | None = None
        self._not_started = ""

    def put(self, files: Files) -> None:
        """Write files below the folder that stands for /opt/ml, before the start."""
        write(files, self._base)

    def start(self) -> None:
        """Start the command in a session of its own, so that Ctrl-C does not reach it."""
        try:
            self._popen = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            self._not_started = f"{self._command[0]} cannot be started: {error}"
            return
        # Without it a child that outlives the command would keep the log open.
        threading.Thread(target=self._end_with_the_command, daemon=True).start()

    def _end_with_the_command(self) -> None:
        self.wait()
        self.kill()

    def lines(self) -> Iterator[str]:
        """Give each line of stdout and stderr as it comes, until the command ends."""
        if not self._popen or not self._popen.stdout:
            yield self._not_started
            return
        with self._popen.stdout as output:
            for line in output:
                yield line.decode(errors="replace").removesuffix("\n")

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        if not self._popen:
            return START_FAILED
        code = self._popen.wait()
        return code if code >= 0 else 128 - code

    def pid(self) -> int | None:
        """Return the number of the command, once it is started."""
        return self._popen.pid if self._popen else None

    def stop(self, grace: float) -> None:
        """Send SIGTERM to the command alone, and SIGKILL to all after this many seconds."""
        if not self._popen:
            return
        self._popen.terminate()
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the command and its children at once."""
        if not self._popen:
            return
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def read(self, path: str) -> Tree:
        """Read a file or folder below the base; an absent one is empty."""
        if not os.path.lexists(self._base / path):
            return Tree()
        packed = tempfile.TemporaryFile()  # noqa: SIM115 - the tree closes it
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(self._base / path, Path(path).name)
        packed.seek(0)
        return Tree(packed)

    def remove(self) -> None:
        """Kill what runs, and remove the folder."""
        self.kill()
        if self._popen:
            self._popen.wait()
        shutil.rmtree(self._base, ignore_errors=True)
