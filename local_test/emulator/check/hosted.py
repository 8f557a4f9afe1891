"""What serving is tested with, and a server as it started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local_test.emulator.check.asking import Payload
from local_test.emulator.hosting.launch import Launcher, Lifecycle
from local_test.emulator.hosting.server import Server


@dataclass(frozen=True)
class Hosted:
    """What serving is tested with.

    Attributes:
        launcher: Makes servers; the argument is whether they are isolated.
        contained: Whether those are containers.
        isolates: Tells whether an isolated one can be reached from here.
        labels: The image's.
        model: model.tar.gz or a folder; None: the one that the check's own job made.
        own_model: The image has its model inside, and gets an empty folder.
        payload: What is to be answered; None: what can be guessed.
        on_line: Called with each line that a server prints.
    """

    launcher: Callable[[bool, Lifecycle], Launcher]
    contained: bool
    isolates: Callable[[], bool]
    labels: Mapping[str, str]
    model: Path | None
    own_model: bool
    payload: Payload | None
    on_line: Callable[[str, str], None] = lambda _name, _line: None


@dataclass
class Started:
    """One `serve` as it started.

    Attributes:
        server: It.
        port: Where it has to listen.
        healthy_after: Seconds, or None if it never was.
        why: What was seen where it was not healthy.
        everywhere: Whether it listens on all addresses; None if that could not be seen.
        ended: Whether it has been ended.
    """

    server: Server
    port: int
    healthy_after: float | None = None
    why: str = ""
    everywhere: bool | None = None
    ended: bool = False

    @property
    def healthy(self) -> bool:
        """Whether it became healthy."""
        return self.healthy_after is not None
