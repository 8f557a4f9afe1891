"""What is told of a job that failed: its cause in output/failure, and a true exit code.

SageMaker shows the first 1024 characters of the file. The toolkit's `train` (5.1.4) would put a
traceback before the cause, end with 1 whatever happened, and with 0 after SystemExit or where it
cannot write the file itself.
"""

import errno
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from brain_tumor.errors import BrainTumorError, DiskFullError
from brain_tumor.resources import allowed_memory, resident_memory
from brain_tumor.training.exchange import HostError

_LONGEST = 1024
_RESERVED = 4096
_FULL = {code: os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}
_KILLED = 128 + signal.SIGKILL


class JobFailedError(Exception):
    """Ends the toolkit's `train`, which takes an `errno` for the exit code."""

    def __init__(self, cause: str, exit_code: int) -> None:
        super().__init__(cause)
        self.errno = exit_code


class FailureFile:
    """output/failure. Room for it is kept free, so that a full disk can be told of too."""

    def __init__(self, output_dir: Path) -> None:
        """Remove what a former run left, whose cause the toolkit would take for this run's."""
        self._file = output_dir / "failure"
        for stale in (self._file, output_dir / "success"):
            stale.unlink(missing_ok=True)
        self._writing, self._is_written = threading.Lock(), False
        self._room: IO[bytes] | None = None
        with suppress(OSError):
            # It has no name, so it is gone with the process, however that ends.
            self._room = tempfile.TemporaryFile(dir=output_dir)  # noqa: SIM115 - open to the end
            self._room.write(bytes(_RESERVED))
            self._room.flush()

    def write(self, text: str) -> bool:
        """Write the file; the first cause stays. False: it cannot be written.

        Another thread may have one at the same moment, and end the process while this one has
        emptied the file but not filled it.
        """
        with self._writing:
            self._is_written = self._is_written or self._write(text)
            return self._is_written

    def _write(self, text: str) -> bool:
        if self._room:
            # What did not fit at the start would be written now, and does not fit now either.
            with suppress(OSError):
                self._room.close()
        try:
            # A file's name may be no text, and its error quotes it.
            self._file.write_bytes(text.encode(errors="replace") + b"\n")
        except OSError:
            return False
        return True


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Name the folder, and what is free there, where the disk is full meanwhile.

    Raises:
        DiskFullError: the system, or TensorFlow in its words, says that no more can be written.
    """
    try:
        yield
    except Exception as error:
        said = next((text for text in _FULL.values() if text in str(error)), None)
        if said is None:
            raise
        # The folder itself may be what could not be made.
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free / 2**20
        raise DiskFullError(
            f"The disk is full: no more can be written to {folder} ({said}; {free:.1f} MiB are "
            "free). Usual cause: the job's volume is too small (VolumeSizeInGB), or a limit is set "
            "on the size of files."
        ) from error


def cause_of(error: BaseException) -> str:
    """Say in at most 1024 bytes why a job failed, the cause first."""
    if isinstance(error, BrainTumorError):
        return shortened(str(error))
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    places = [f"  at {frame.filename}, line {frame.lineno}, in {frame.name}" for frame in frames]
    return shortened("\n".join([_sentence(error), *places]))


def exit_code_of(error: BaseException) -> int:
    """Give the exit code that a job which failed ends with; never 0."""
    if isinstance(error, HostError) and error.__cause__ is not None:
        return exit_code_of(error.__cause__)
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code & 0xFF or 1
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(error, BrokenProcessPool):
        return _KILLED
    if isinstance(error, subprocess.CalledProcessError):
        code = error.returncode
        return 128 - code if code < 0 else code & 0xFF or 1
    return 1


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Cut a text at a word so that its UTF-8 has at most `longest` bytes."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= longest:
        return text
    cut = encoded[: longest - len("…".encode())].decode(errors="ignore")
    head, blank, _ = cut.rpartition(" ")
    return (head if blank else cut) + "…"


def _sentence(error: BaseException) -> str:
    name, message = type(error).__name__, str(error).strip()
    if isinstance(error, SystemExit):
        return f"SystemExit: something ended the job before there was a model, with {error.code!r}."
    if isinstance(error, KeyboardInterrupt):
        return "KeyboardInterrupt: the job was interrupted (Ctrl-C, SIGINT)."
    if isinstance(error, BrokenProcessPool):
        return f"A child process was killed: {message} Usual cause: there was too little memory."
    if isinstance(error, subprocess.CalledProcessError):
        return f"A child process failed: {message}"
    # TensorFlow's own class, which is not imported for its name.
    if isinstance(error, MemoryError) or name == "ResourceExhaustedError":
        return (
            f"Out of memory ({name}: {shortened(message, 300)}); this process holds "
            f"{resident_memory() / 2**20:.0f} MiB of {allowed_memory() / 2**20:.0f}. Usual cause: "
            "batch-size or image-size is too large for this machine, or the machine too small "
            "(InstanceType)."
        )
    return f"{name}: {message}"
