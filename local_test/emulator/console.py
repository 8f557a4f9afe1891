"""What a person sees of a job while it runs: its log, its statuses, and a line of progress."""

import sys
import time
from typing import TextIO

_ERASE = "\r\x1b[2K"


class Console:
    """Prints to stderr; on a terminal the last line shows the status, the time and the metrics."""

    def __init__(self, stream: TextIO | None = None, *, several_hosts: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._several = several_hosts
        self._start = time.monotonic()
        self._status = ""
        self._metrics: dict[str, float] = {}

    def line(self, host: str, text: str) -> None:
        """Print a line of the log, with the host's name where there are several."""
        self._print(f"{host} | {text}" if self._several else text)

    def status(self, status: str, message: str) -> None:
        """Print a change of the status."""
        self._status = status
        self._print(f"[{time.monotonic() - self._start:6.1f} s] {status} - {message}")

    def note(self, text: str) -> None:
        """Print what the emulator itself has to say."""
        self._print(f"emulator: {text}")

    def metric(self, name: str, value: float) -> None:
        """Show the newest value of a metric."""
        self._metrics[name] = value
        self._draw()

    def close(self) -> None:
        """Erase the line of progress."""
        if self._live:
            self._stream.write(_ERASE)
            self._stream.flush()

    def _print(self, text: str) -> None:
        self._stream.write(f"{_ERASE if self._live else ''}{text}\n")
        self._draw()

    def _draw(self) -> None:
        if self._live:
            metrics = "  ".join(f"{name}={value:g}" for name, value in self._metrics.items())
            seconds = time.monotonic() - self._start
            # Cut, because a line that wraps is not erased.
            self._stream.write(f"{_ERASE}{f'{self._status} {seconds:.0f} s  {metrics}'[:79]}")
        self._stream.flush()
