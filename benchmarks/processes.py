"""Processor time and memory of a server and all its processes, from /proc (proc(5))."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(session: int) -> float:
    """Return the processor time that a session's processes, also ended ones, have used."""
    total = 0
    for folder in _of_session(session):
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))  # own and ended children's, user and system
    return total / _TICKS


def memory_mb(session: int) -> float:
    """Return the memory of a session's processes, what they share counted once (PSS)."""
    total = 0
    for folder in _of_session(session):
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1000


def _of_session(session: int) -> Iterator[Path]:
    """Give the folders of a session's processes, and of what they started in other sessions."""
    parents, found = {}, {session}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError, FileNotFoundError):
            process = int(folder.name)
            parents[process] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if os.getsid(process) == session:
                found.add(process)
    while started := {p for p, parent in parents.items() if parent in found} - found:
        found |= started
    return (Path("/proc") / str(process) for process in found & parents.keys())
