"""The containers of a check that serve: how each started, and what it answers."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_test.emulator.check.asking import Asked, Payload, guesses
from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.model import digests
from local_test.emulator.check.rule import NotTestedError, once
from local_test.emulator.check.sockets import listens_everywhere
from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.definition import PORT, Definition, model_folder, readable_folder
from local_test.emulator.hosting.exchange import Body, NoReplyError, exchange
from local_test.emulator.hosting.health import (
    HealthLimits,
    NotHealthyError,
    Ping,
    wait_until_healthy,
)
from local_test.emulator.hosting.launch import Launcher, Manner
from local_test.emulator.hosting.multi_model import ENVIRONMENT
from local_test.emulator.hosting.server import Server, Stopped

# A name as the platform gives them to models: it tells nothing.
MODEL = "0f" * 16
_INTERVAL_SECONDS = 0.1


@dataclass
class Started:
    """One `serve` as it started.

    Attributes:
        server: It.
        port: Where it has to listen.
        healthy_after: Seconds, or None if it never was.
        pings: The health checks until then.
        why: What was seen where it was not healthy.
        everywhere: Whether it listens on all addresses; None if that could not be seen.
        stopped: How it ended after SIGTERM, once it was sent.
    """

    server: Server
    port: int
    healthy_after: float | None = None
    pings: list[Ping] = field(default_factory=list)
    why: str = ""
    everywhere: bool | None = None
    stopped: Stopped | None = None


@dataclass(frozen=True)
class Hosted:
    """What serving is tested with.

    Attributes:
        launcher: Makes servers; the argument is whether they are isolated.
        contained: Whether those are containers.
        labels: The image's.
        model: model.tar.gz or a folder; None: the one that the check's own job made.
        own_model: The image has its model inside, and gets an empty folder.
        payload: What is to be answered; None: what can be guessed.
        on_line: Called with each line that a server prints.
    """

    launcher: Callable[[bool, Manner], Launcher]
    contained: bool
    labels: Mapping[str, str]
    model: Path | None
    own_model: bool
    payload: Payload | None
    on_line: Callable[[str, str], None] = lambda _name, _line: None


class Serving:
    """Starts servers as rules ask for them; all are gone when the block ends."""

    def __init__(self, hosted: Hosted, jobs: Jobs, limits: Limits) -> None:
        self.hosted = hosted
        self.limits = limits
        self._jobs = jobs
        self._stack = ExitStack()
        self._live: Started | None = None

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @once
    def model(self) -> Path:
        """Return the folder that becomes /opt/ml/model.

        Raises:
            NotTestedError: There is no model.
        """
        if self.hosted.own_model:
            return self._stack.enter_context(readable_folder())
        archive = self.hosted.model or self._jobs.completed().folder / "output/model.tar.gz"
        if not archive.exists():
            raise NotTestedError("there is no model: --model gives one")
        try:
            return self._stack.enter_context(model_folder(archive))["model"]
        except EmulatorError as error:
            raise NotTestedError(f"the model cannot be unpacked: {error}") from error

    @once
    def first(self) -> Started:
        """Start it without a network, as the first of all."""
        self._digests()
        return self._keep(self.start(isolated=True))

    @once
    def main(self) -> Started:
        """Return the server that answers: the first, or one with a network where that failed."""
        started = self.first()
        if started.healthy_after is None and self.hosted.contained:
            self.end(started)
            started = self._keep(self.start(isolated=False))
        return started

    @once
    def _digests(self) -> dict[str, bytes]:
        return digests(self.model())

    def changed_in_model(self) -> list[str]:
        """Return which files of the model are other ones than before the first start."""
        before, after = self._digests(), digests(self.model())
        return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))

    def cpus(self) -> int:
        """Return how many processors a container may have."""
        return os.cpu_count() or 1

    @once
    def multi_model(self) -> Started:
        """Start a multi-model endpoint; MODEL is what it has to load."""
        models = self._stack.enter_context(readable_folder())
        shutil.copytree(self.model(), models / MODEL / "model")
        return self.start(isolated=True, folders={"models": models}, platform=ENVIRONMENT)

    def _keep(self, started: Started) -> Started:
        self._live = started
        return started

    def live(self) -> Started:
        """Return a healthy server: the main one, or a new one where that has ended.

        Raises:
            NotTestedError: It is not healthy.
        """
        main = self.main()
        if main.healthy_after is None:
            raise NotTestedError("`serve` was not healthy (SERVE-01)")
        live = self._live or main
        if live.stopped or live.server.ended() is not None:
            live = self._keep(self.start(isolated=True))
            if live.healthy_after is None:
                raise NotTestedError("`serve` had ended and was not healthy again")
        return live

    def start(
        self,
        *,
        isolated: bool,
        model: Path | None = None,
        platform: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        port: int = PORT,
        healthy: float | None = None,
        folders: Mapping[str, Path] | None = None,
    ) -> Started:
        """Start a server and wait for its health, or for the end of the time for that."""
        healthy = self.limits.within(healthy or self.limits.healthy)
        health = HealthLimits(healthy=healthy, interval=_INTERVAL_SECONDS)
        manner = Manner(health, self.limits.within(self.limits.serve_grace), self.hosted.on_line)
        launcher = self.hosted.launcher(isolated, manner)
        definition = Definition(
            folders={"model": model or self.model()} if folders is None else folders,
            platform=platform or {},
            options=options or {},
            port=launcher.port(port),
        )
        started = Started(launcher.make(definition), definition.port)
        self._stack.callback(self.end, started)
        start = time.monotonic()
        started.server.start()
        try:
            started.pings = wait_until_healthy(started.server, health)
            started.healthy_after = time.monotonic() - start
        except NotHealthyError as error:
            started.why, started.pings = str(error), error.pings
        if pid := started.server.pid():
            started.everywhere = listens_everywhere(pid, started.port)
        return started

    def end(self, started: Started) -> Stopped:
        """Send SIGTERM and remove it; once."""
        if not started.stopped:
            # A server that hung before is not waited for again.
            started.stopped = started.server.stop()
            with contextlib.suppress(EmulatorError):
                started.server.remove()
        return started.stopped

    def ask(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float | None = None,
        of: Started | None = None,
    ) -> Asked:
        """Send a request to the live server, or to another one."""
        server = (of or self.live()).server
        address = server.address()
        if address is None:
            return Asked(None, "it has no address")
        limit = self.limits.within(seconds or self.limits.answer)
        try:
            return Asked(exchange(address, method, path, body=body, headers=headers, seconds=limit))
        except NoReplyError as error:
            return Asked(None, str(error))

    def invoke(self, payload: Payload | None = None, of: Started | None = None) -> Asked:
        """Ask for an answer to the payload."""
        payload = payload or self.payload()
        return self.ask("POST", "/invocations", payload.body, payload.headers, of=of)

    @once
    def payload(self) -> Payload:
        """Return what is known to be answered.

        Raises:
            NotTestedError: Nothing is.
        """
        given = self.hosted.payload
        for payload in [given] if given else guesses():
            if self.invoke(payload).status == 200:
                return payload
        which = (
            "the payload is not answered with 200 (SERVE-07)" if given else "no payload is known"
        )
        raise NotTestedError(f"{which}; --payload FILE --content-type T gives one")
