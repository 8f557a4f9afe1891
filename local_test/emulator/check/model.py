"""The model that is served: its files, what became of them, and a broken copy."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local_test.emulator.check.hosted import Hosted
from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.rule import NotTestedError, once
from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.definition import model_folder, readable_folder


def digests(folder: Path) -> dict[str, bytes]:
    """Return a digest of each file of a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).digest() for p in files}


def changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    """Return the names of files that were made, changed or deleted, by their digests."""
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


class Model:
    """What becomes /opt/ml/model; copies of it are gone when a stack is closed."""

    def __init__(self, hosted: Hosted, jobs: Jobs, stack: ExitStack) -> None:
        self._hosted = hosted
        self._jobs = jobs
        self._stack = stack

    @once
    def folder(self) -> Path:
        """Return where it lies.

        Raises:
            NotTestedError: There is none, or the check's own job left one that is refused.
            EmulatorError: The caller gave one that cannot be unpacked.
        """
        given = self._hosted.model
        if self._hosted.own_model:
            return self._stack.enter_context(readable_folder())
        if given and given.is_dir() and not self._hosted.contained:
            # A command could write to the caller's own.
            copy = self._stack.enter_context(readable_folder())
            return shutil.copytree(given, copy, dirs_exist_ok=True)
        archive = given or self._jobs.completed().folder / "output/model.tar.gz"
        if not archive.exists():
            raise NotTestedError("there is no model: --model gives one")
        try:
            return self._stack.enter_context(model_folder(archive))["model"]
        except EmulatorError as error:
            if given:
                raise
            raise NotTestedError(f"the model cannot be unpacked: {error}") from error

    @once
    def digests(self) -> dict[str, bytes]:
        """Return the digests of its files before a server saw them."""
        return digests(self.folder())

    def changed(self) -> list[str]:
        """Return which of its files are other ones now."""
        return changed(self.digests(), digests(self.folder()))


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
