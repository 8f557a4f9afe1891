"""What runs where when several tests run at a time (pytest-xdist)."""

import fcntl
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.jobs import ROOT

_ENGINE = "containers"
# All workers see the same containers, images, /etc/hosts and port 8080: one of them has to do with
# these. What a test needs of an engine it imports from tests/docker.py.
_FOLDERS = ("tests/emulator/check", "tests/push")


@functools.cache
def _group(module: str) -> str:
    """Return the group of a test module, which one worker runs: its fixtures are made once."""
    alone = module.startswith(_FOLDERS) or "tests.docker" in (ROOT / module).read_text()
    return _ENGINE if alone else module


class ByGroup(LoadScopeScheduling):  # type: ignore[misc] # it ships no types
    """Gives each worker that is free the next group.

    `--dist loadgroup` would be it, but does nothing with pytest 9.2 (pytest-xdist, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid.partition("::")[0])


def order(item: pytest.Item) -> tuple[bool, int]:
    """Return what tests are sorted by, so that workers end together: containers, jobs, units."""
    module = item.nodeid.partition("::")[0]
    return _group(module) != _ENGINE, len(Path(module).parts)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Give a folder for all workers; the first one that asks for it fills it by `make`."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    with (base / f"{name}.made").open("a") as made:
        fcntl.flock(made, fcntl.LOCK_EX)
        if not os.fstat(made.fileno()).st_size:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            made.write("yes")
    return folder
