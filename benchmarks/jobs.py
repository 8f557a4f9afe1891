"""Training jobs for benchmarks: an /opt/ml folder, the real `train` on it, and what it takes."""

import json
import os
import platform
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.processes import processor_seconds

BIN = Path(sys.executable).parent
CHANNELS = {"train": "Train.zip", "val": "Val.zip", "test": "Test.zip"}
_EPOCH = re.compile(r"epoch=(\d+);")
_LOOK_SECONDS = 0.2


@dataclass
class Taken:
    """What one process of a job took."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    peak_mb: float = 0.0
    """Highest resident memory, pages of files that are mapped in included."""
    peak_own_mb: float = 0.0
    """The same without pages of files, which the system may take back."""
    epochs: list[float] = field(default_factory=list)
    """Processor seconds of all hosts at the end of each epoch, as this one printed it."""
    log: str = ""


def lay_out(
    ml_dir: Path,
    parts: Path,
    hyperparameters: Mapping[str, str],
    hosts: Sequence[str] = ("algo-1",),
) -> None:
    """Make /opt/ml of a host: its config files, and links to the zips in `parts`.

    Where there are several hosts, it is the one that the folder is named after.
    """
    config = ml_dir / "input" / "config"
    config.mkdir(parents=True, exist_ok=True)
    documents = {
        "hyperparameters.json": hyperparameters,
        "inputdataconfig.json": {name: {"TrainingInputMode": "File"} for name in CHANNELS},
        "resourceconfig.json": {
            "current_host": ml_dir.name if len(hosts) > 1 else hosts[0],
            "hosts": list(hosts),
            "network_interface_name": "eth0",
        },
    }
    for file, document in documents.items():
        (config / file).write_text(json.dumps(document))
    for channel, part in CHANNELS.items():
        folder = ml_dir / "input" / "data" / channel
        folder.mkdir(parents=True, exist_ok=True)
        if (parts / part).exists() and not (folder / part).exists():
            (folder / part).symlink_to((parts / part).resolve())


def run(ml_dirs: Sequence[Path]) -> list[Taken]:
    """Run `train` in each folder at the same time, as hosts of one job where they are several.

    Raises:
        RuntimeError: one of them failed; with the end of its log.
    """
    environment = {**os.environ}
    if len(ml_dirs) > 1:
        addresses = {
            folder.name: f"127.0.0.1:{port}"
            for folder, port in zip(ml_dirs, _ports(len(ml_dirs)), strict=True)
        }
        environment["BRAIN_TUMOR_CLUSTER_ADDRESSES"] = json.dumps(addresses)
    sessions: list[int] = []
    watches = [_Watch(folder, environment, sessions) for folder in ml_dirs]
    return [watch.taken() for watch in watches]


def machine() -> str:
    """Say how many cores of which processor this machine has."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} cores, {line.split(':', 1)[1].strip()}"
    return f"{os.cpu_count()} cores, {platform.processor()}"


class _Watch:
    """A `train` process, looked at while it runs."""

    def __init__(self, ml_dir: Path, environment: Mapping[str, str], sessions: list[int]) -> None:
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            [BIN / "brain-tumor", "train"],
            env={**environment, "SAGEMAKER_BASE_DIR": str(ml_dir)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._sessions = sessions
        sessions.append(self._process.pid)
        self._taken = Taken()
        self._threads = [threading.Thread(target=each) for each in (self._look, self._read)]
        for thread in self._threads:
            thread.start()

    def taken(self) -> Taken:
        code = self._process.wait()
        for thread in self._threads:
            thread.join()
        if code:
            raise RuntimeError(f"train ended with {code}:\n{self._taken.log[-2000:]}")
        return self._taken

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        for line in self._process.stdout:
            self._taken.log += line
            if _EPOCH.search(line):
                with suppress(OSError):
                    self._taken.epochs.append(sum(map(processor_seconds, self._sessions)))

    def _look(self) -> None:
        while self._process.poll() is None:
            with suppress(OSError, KeyError):
                sizes = _sizes(self._process.pid)
                all_mb = sizes["RssAnon"] + sizes["RssFile"] + sizes["RssShmem"]
                own_mb = sizes["RssAnon"] + sizes["RssShmem"]
                self._taken.peak_mb = max(self._taken.peak_mb, all_mb)
                self._taken.peak_own_mb = max(self._taken.peak_own_mb, own_mb)
                self._taken.processor_seconds = processor_seconds(self._process.pid)
            self._taken.seconds = time.monotonic() - self._started
            time.sleep(_LOOK_SECONDS)


def _sizes(process: int) -> dict[str, float]:
    """Read the kinds of resident memory of a process, in MB (proc(5))."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.startswith("Rss"))
    return {name: int(value.split()[0]) * 1024 / 1e6 for name, value in pairs}


def _ports(count: int) -> list[int]:
    """Find ports that are free, each with a free one after it: a host takes two.

    They lie below those that the system gives to clients, which would take them meanwhile.
    """
    found: list[int] = []
    for port in range(20_000, 32_000, 2):
        if len(found) == count:
            break
        with ExitStack() as stack, suppress(OSError):
            for number in (port, port + 1):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            found.append(port)
    return found
