"""The containers of a check that serve: how each started, and what it answers."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from local_test.emulator.check.asking import Asked, Payload, answered, guesses
from local_test.emulator.check.hosted import Hosted, Started
from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.model import Model
from local_test.emulator.check.rule import NotTestedError, Outcome, failed, once
from local_test.emulator.check.sockets import listens_everywhere
from local_test.emulator.hosting.definition import PORT, Definition, readable_folder
from local_test.emulator.hosting.exchange import Body, NoReplyError, TimedOutError, exchange
from local_test.emulator.hosting.health import HealthLimits, NotHealthyError, wait_until_healthy
from local_test.emulator.hosting.launch import Lifecycle
from local_test.emulator.hosting.multi_model import ENVIRONMENT
from local_test.emulator.hosting.server import Stopped

# A name as the platform gives them to models: it tells nothing.
MODEL = "0f" * 16
_INTERVAL_SECONDS = 0.1


def _no_options(_cpus: int) -> Mapping[str, Any]:
    return {}


class Serving:
    """Starts servers as rules ask for them; all are gone when the block ends."""

    def __init__(self, hosted: Hosted, jobs: Jobs, limits: Limits) -> None:
        self.hosted = hosted
        self.limits = limits
        self._stack = ExitStack()
        self.model = Model(hosted, jobs, self._stack)
        self._live: Started | None = None

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    @once
    def first(self) -> Started:
        """Start it without a network, where that can be, as the first of all."""
        if not self.hosted.contained:
            # Before it can have been written.
            self.model.digests()
        return self._keep(self.start(isolated=self.hosted.isolates()))

    @once
    def main(self) -> Started:
        """Return the server that answers: the first, or one with a network where that failed."""
        started = self.first()
        if not started.healthy and self.hosted.isolates():
            self.end(started)
            # Where no time is left, what was seen without a network has to do.
            with suppress(NotTestedError):
                started = self._keep(self.start())
        return started

    @once
    def multi_model(self) -> Started:
        """Start a multi-model endpoint; MODEL is what it has to load."""
        models = self._stack.enter_context(readable_folder())
        shutil.copytree(self.model.folder(), models / MODEL / "model")
        return self.start(folders={"models": models}, platform=ENVIRONMENT)

    def _keep(self, started: Started) -> Started:
        self._live = started
        return started

    def live(self) -> Started:
        """Return a healthy server: the main one, or a new one where that has ended.

        Raises:
            NotTestedError: It is not healthy.
        """
        main = self.main()
        if not main.healthy:
            raise NotTestedError("`serve` was not healthy (SERVE-01)")
        live = self._live or main
        if live.ended or live.server.ended() is not None:
            live = self._keep(self.start())
            if not live.healthy:
                raise NotTestedError("`serve` had ended and was not healthy again")
        return live

    def start(
        self,
        *,
        isolated: bool | None = None,
        model: Path | None = None,
        platform: Mapping[str, str] | None = None,
        options: Callable[[int], Mapping[str, Any]] = _no_options,
        port: int = PORT,
        healthy: float | None = None,
        folders: Mapping[str, Path] | None = None,
    ) -> Started:
        """Start a server and wait for its health, or for the end of the time for that.

        Args:
            isolated: Whether it has no network; None: none if the first one could do without.
            model: Its model, if not that of all.
            platform: The platform's variables.
            options: Gives docker-py's arguments for a number of processors.
            port: Where it has to listen.
            healthy: Seconds until it must be healthy, if not those of all.
            folders: What it sees below /opt/ml in place of the model.

        Raises:
            NotTestedError: The check's whole time had passed before.
        """
        wanted = min(healthy or self.limits.healthy, self.limits.healthy)
        health = HealthLimits(healthy=self.limits.within(wanted), interval=_INTERVAL_SECONDS)
        lifecycle = Lifecycle(health, self.limits.serve_grace, self.hosted.on_line)
        if isolated is None:
            isolated = self.hosted.isolates() and self.first().healthy
        launcher = self.hosted.launcher(isolated, lifecycle)
        definition = Definition(
            folders={"model": model or self.model.folder()} if folders is None else folders,
            platform=platform or {},
            options=options(launcher.cpus()),
            port=launcher.port(port),
        )
        started = Started(launcher.make(definition), definition.port)
        self._stack.callback(self.end, started)
        self._wait(started, health)
        if not started.healthy and started.server.ended() is None and health.healthy < wanted:
            raise self.limits.over(started.why)
        return started

    def _wait(self, started: Started, health: HealthLimits) -> None:
        start = time.monotonic()
        started.server.start()
        try:
            wait_until_healthy(started.server, health)
            started.healthy_after = time.monotonic() - start
        except NotHealthyError as error:
            started.why = str(error)
        if pid := started.server.pid():
            started.everywhere = listens_everywhere(pid, started.port)

    @contextmanager
    def started(self, **how: Any) -> Iterator[Started]:
        """Give one more server, started in this way, for the block."""
        started = self.start(**how)
        try:
            yield started
        finally:
            self.end(started)

    def serves(self, **how: Any) -> Outcome:
        """Judge whether one more server, started in this way, answers the payload."""
        payload = self.payload()
        with self.started(**how) as started:
            if not started.healthy:
                return failed(started.why)
            return answered(self.invoke(payload, started))

    def stop(self, started: Started) -> Stopped:
        """Send SIGTERM, and SIGKILL after the grace; say how it ended.

        Raises:
            NotTestedError: The check has less time than the grace.
        """
        self.limits.require(self.limits.serve_grace)
        started.ended = True
        try:
            return started.server.stop()
        finally:
            started.server.remove()

    def end(self, started: Started) -> None:
        """Kill and remove it, if it is still there: nobody looks at how it ends."""
        if not started.ended:
            started.ended = True
            try:
                started.server.stop(0)
            finally:
                started.server.remove()

    def ask(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        of: Started | None = None,
    ) -> Asked:
        """Send a request to the live server, or to another one.

        Raises:
            NotTestedError: The check's whole time had passed before the answer's own.
        """
        address = (of or self.live()).server.address()
        if address is None:
            return Asked(None, "it has no address")
        limit = self.limits.within(self.limits.answer)
        try:
            return Asked(exchange(address, method, path, body=body, headers=headers, seconds=limit))
        except NoReplyError as error:
            if isinstance(error, TimedOutError) and limit < self.limits.answer:
                raise self.limits.over(str(error)) from error
            return Asked(None, str(error))

    def invoke(self, payload: Payload | None = None, of: Started | None = None) -> Asked:
        """Ask for an answer to the payload."""
        payload = payload or self.payload()
        return self.ask("POST", "/invocations", payload.body, payload.headers, of=of)

    @once
    def tried(self) -> list[tuple[Payload, Asked]]:
        """Try the payload that is given, or guesses until one is answered with 200."""
        tried: list[tuple[Payload, Asked]] = []
        for payload in [self.hosted.payload] if self.hosted.payload else guesses():
            tried.append((payload, self.invoke(payload)))
            if tried[-1][1].status == 200:
                break
        return tried

    def payload(self) -> Payload:
        """Return what is known to be answered.

        Raises:
            NotTestedError: Nothing is.
        """
        payload, asked = self.tried()[-1]
        if asked.status == 200:
            return payload
        given = "the payload is not answered with 200 (SERVE-07)"
        which = given if self.hosted.payload else "no payload is known that is answered"
        raise NotTestedError(f"{which}; --payload FILE --content-type T gives one")
