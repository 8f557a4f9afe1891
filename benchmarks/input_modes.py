"""Time the reading of one channel in every input mode, from a disk and from a mount that streams.

    python benchmarks/input_modes.py ARCHIVE [--latency 0.1]

ARCHIVE is a zip or folder of class folders. The mount is simulated: each open file, and each read
that does not go on where the last one ended, waits for the latency, as for a first byte of S3; what
SageMaker's own mount does ahead, and the width of the line, are not. Prints a Markdown table.
"""

import argparse
import io
import os
import resource
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from brain_tumor.data.archive import Archive
from brain_tumor.data.records import write_records
from brain_tumor.data.scans import decode_scans
from brain_tumor.training.input_data import ChannelConfig, open_channel

_SIZE = 208
_RECORDS = "application/x-tfrecord"


def main() -> None:
    """Print a row of figures for each mode."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--latency", type=float, default=0.1, help="seconds to a first byte")
    arguments = parser.parse_args()
    print("| input mode | what is read | s | processor time, s | waits for a first byte |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        forms = _write_forms(arguments.archive, Path(name))
        for mode, latency in (("File", 0.0), ("FastFile", arguments.latency)):
            for form, folder in forms.items():
                _row(mode, form, folder, latency)
        records = forms["TFRecord, one file"]
        with _pipe(records):
            _row("Pipe", "TFRecord", records, 0)


def _write_forms(archive: Path, folder: Path) -> dict[str, Path]:
    """Write the scans of an archive in every form; give the folder of each."""
    forms = {"class folders": folder / "images", "a zip": folder / "zip"}
    for path in forms.values():
        path.mkdir()
    with Archive(archive) as source, zipfile.ZipFile(folder / "zip" / "Train.zip", "w") as target:
        for number, scan in enumerate(source.scans):
            file, data = f"{scan.label}/{number:06}.jpg", source.read(scan)
            target.writestr(file, data)
            (folder / "images" / scan.label).mkdir(exist_ok=True)
            (folder / "images" / file).write_bytes(data)
    forms["TFRecord, one file"] = folder / "records"
    with Archive(folder / "zip") as source:
        write_records(source, folder / "records", 1)
    return forms


def _row(mode: Any, form: str, folder: Path, latency: float) -> None:
    content_type = _RECORDS if "TFRecord" in form else ""
    waits: Counter[str] = Counter()
    started, before = time.perf_counter(), _cpu()
    with (
        _slow(folder, latency, waits),
        open_channel(folder, ChannelConfig(mode=mode, content_type=content_type)) as source,
    ):
        decode_scans(source, _SIZE)
    seconds, cpu = time.perf_counter() - started, _cpu() - before
    shown = waits.total() if latency else "-"
    print(f"| {mode} | {form} | {seconds:.1f} | {cpu:.1f} | {shown} |", flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class _SlowFile(io.FileIO):
    """A file whose first byte after a jump takes its time."""

    def __init__(self, path: str, latency: float, waits: Counter[str]) -> None:
        super().__init__(path)
        self._latency, self._waits, self._next = latency, waits, -1

    def readinto(self, buffer: Any) -> int:
        self._wait()
        count = super().readinto(buffer) or 0
        self._next += count
        return count

    def readall(self) -> bytes:
        self._wait()
        data = super().readall() or b""
        self._next += len(data)
        return data

    def _wait(self) -> None:
        if self.tell() != self._next:
            self._next = self.tell()
            self._waits[str(self.name)] += 1
            time.sleep(self._latency)


@contextmanager
def _slow(folder: Path, latency: float, waits: Counter[str]) -> Iterator[None]:
    real_open = io.open

    def slow_open(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        inside = isinstance(file, str | Path) and Path(file).is_relative_to(folder)
        if not (latency and inside):
            return real_open(file, mode, *rest, **options)
        return io.BufferedReader(_SlowFile(str(file), latency, waits))

    with patch.object(io, "open", slow_open):
        yield


@contextmanager
def _pipe(records: Path) -> Iterator[None]:
    """Write the files of a folder into the pipe beside it."""
    pipe = records.with_name(f"{records.name}_0")
    os.mkfifo(pipe)
    data = b"".join(file.read_bytes() for file in sorted(records.iterdir()))
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    yield
    writer.join()


if __name__ == "__main__":
    main()
