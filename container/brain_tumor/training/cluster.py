"""The hosts of a job: which there are, how they find each other, and what the chief tells the rest.

The chief is the first of the sorted hosts. It alone validates, evaluates and writes; the others
take the same training steps and wait for it. Nothing here knows TensorFlow.
"""

import json
import logging
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from brain_tumor.errors import BrainTumorError, DataError
from brain_tumor.settings import Settings
from brain_tumor.training.exchange import Exchange, HostError, Kind, Link
from brain_tumor.training.failure import cause_of

log = logging.getLogger(__name__)

_Value = TypeVar("_Value")
_RETRY_SECONDS = 0.5
_WORD_SECONDS = 5.0


@dataclass(frozen=True)
class Hosts:
    """The hosts of a job, in the order that all of them agree on, and this one."""

    names: tuple[str, ...]
    """Sorted."""
    current: str

    @property
    def chief(self) -> str:
        """The first host."""
        return self.names[0]

    @property
    def index(self) -> int:
        """The place of this host."""
        return self.names.index(self.current)


def read_hosts(config: Mapping[str, Any]) -> Hosts:
    """Read resourceconfig.json.

    `hosts` is what counts, sorted here: the hosts in `instance_groups` are in any order, and these
    and `topology` may be missing or null.

    Raises:
        DataError: this host is not among the hosts.
    """
    current = str(config["current_host"])
    names = sorted(set(config.get("hosts") or [current]))
    if current not in names:
        raise DataError(
            f"resourceconfig.json: current_host {current!r} is not among the hosts "
            f"{', '.join(names)}. Usual cause: a file edited by hand."
        )
    return Hosts(tuple(names), current)


class Cluster:
    """The hosts as one of them sees them; use it in a `with` block, which ends for all together.

    A job on one host has one too, which sends nothing and waits for nobody.
    """

    def __init__(
        self,
        hosts: Hosts,
        addresses: Mapping[str, tuple[str, int]] | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        self.hosts = hosts
        self._addresses = addresses or {}
        self._exchange = exchange

    @property
    def size(self) -> int:
        """How many hosts there are."""
        return len(self.hosts.names)

    @property
    def is_chief(self) -> bool:
        """Whether this host validates, evaluates and writes."""
        return self.hosts.current == self.hosts.chief

    def tf_config(self) -> str:
        """Return the value of TF_CONFIG for MultiWorkerMirroredStrategy."""
        workers = ["{}:{}".format(*self._addresses[name]) for name in self.hosts.names]
        task = {"type": "worker", "index": self.hosts.index}
        return json.dumps({"cluster": {"worker": workers}, "environment": "cloud", "task": task})

    def told_by_chief(self, make: Callable[[], _Value]) -> _Value:
        """Return on every host what `make` returns on the chief, which JSON must be able to hold.

        All hosts call this in the same order; `make` runs on the chief alone.

        Raises:
            HostError: a connection is lost.
        """
        loads: Callable[[bytes], _Value] = json.loads
        return self.given_by_chief(make, lambda value: json.dumps(value).encode(), loads)

    def given_by_chief(
        self,
        make: Callable[[], _Value],
        pack: Callable[[_Value], bytes],
        unpack: Callable[[bytes], _Value],
    ) -> _Value:
        """Return on every host what `make` returns on the chief, sent as `pack` writes it."""
        if self._exchange is None:
            return make()
        return unpack(self._exchange.share(self.hosts.chief, lambda: pack(make())))

    def from_each(self, make: Callable[[], bytes]) -> list[bytes]:
        """Return on every host what `make` returned on each, in the order of the hosts."""
        if self._exchange is None:
            return [make()]
        return [self._exchange.share(name, make) for name in self.hosts.names]

    def clock(self) -> float:
        """Return the chief's monotonic time, in seconds; a call that all hosts make."""
        return self.told_by_chief(time.monotonic)

    def agreed(self, stop_asked: Callable[[], bool]) -> Callable[[], bool]:
        """Return a question that all hosts ask together, and that has one answer for all.

        It is yes once any host was asked to stop, so that all end with the same step.
        """
        return lambda: self.told_by_chief(self.anywhere(stop_asked))

    def anywhere(self, stop_asked: Callable[[], bool]) -> Callable[[], bool]:
        """Return a question to the chief alone: was any host asked to stop?"""
        exchange = self._exchange
        if exchange is None:
            return stop_asked
        return lambda: stop_asked() or exchange.stop_wanted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the chief to be done, or tell all others why this host fails.

        Raises:
            HostError: in place of what was raised here, with the name of this host.
        """
        if self._exchange is None:
            return
        if error is None:
            self._exchange.finish()
            return
        if not isinstance(error, BrainTumorError) or isinstance(error, HostError):
            # When a peer goes, TensorFlow's collectives break too, with a worse word for it: the
            # exchange ends this process as soon as it has heard the cause.
            time.sleep(_WORD_SECONDS)
        sentence = str(error) if isinstance(error, HostError) else self._sentence(error)
        self._exchange.fail(sentence)
        raise HostError(sentence) from error

    def _sentence(self, error: BaseException) -> str:
        return f"Host {self.hosts.current}: {cause_of(error)}"


ALONE = Cluster(Hosts(("localhost",), "localhost"))
"""A job on one host."""


def join(
    hosts: Hosts, settings: Settings, stop_asked: Callable[[], bool], end: Callable[[str], None]
) -> Cluster:
    """Connect this host with the others, which may start minutes later.

    Args:
        hosts: who they are.
        settings: addresses, ports and patience.
        stop_asked: True once this host was asked to stop; the others are told.
        end: ends the process; called from another thread, with a sentence that says why.

    Raises:
        HostError: a host has no address, or does not come, within the time of the settings.
    """
    if len(hosts.names) == 1:
        return Cluster(hosts)
    addresses = {name: _address(name, settings) for name in hosts.names}
    exchange = Exchange(hosts.current, hosts.chief, stop_asked, end)
    meeting = _Meeting(hosts, addresses, settings, exchange, stop_asked)
    log.info("Waiting for the hosts %s", ", ".join(hosts.names))
    try:
        meeting.hold()
    except HostError as error:
        exchange.fail(str(error))
        raise
    log.info("All %d hosts are connected; %s is the chief", len(hosts.names), hosts.chief)
    return Cluster(hosts, addresses, exchange)


def _address(name: str, settings: Settings) -> tuple[str, int]:
    host, _, port = settings.cluster_addresses.get(name, name).partition(":")
    return host, int(port or settings.cluster_port)


class _Meeting:
    """The start of a cluster: every host waits for all names, then for the connections."""

    def __init__(
        self,
        hosts: Hosts,
        addresses: Mapping[str, tuple[str, int]],
        settings: Settings,
        exchange: Exchange,
        stop_asked: Callable[[], bool],
    ) -> None:
        self._hosts, self._addresses, self._exchange = hosts, addresses, exchange
        self._stop_asked = stop_asked
        self._patience = settings.cluster_wait_seconds
        self._silence = settings.cluster_silence_seconds
        self._end = time.monotonic() + self._patience

    def hold(self) -> None:
        if self._hosts.current == self._hosts.chief:
            self._receive()
        else:
            self._visit()
        # TensorFlow connects each with each.
        for name in self._hosts.names:
            self._try(partial(socket.getaddrinfo, *self._addresses[name]), name)

    def _receive(self) -> None:
        """Accept a connection from each of the others."""
        _, port = self._addresses[self._hosts.chief]
        missing = set(self._hosts.names) - {self._hosts.chief}
        with socket.create_server(("", port + 1)) as listener:
            listener.settimeout(_RETRY_SECONDS)
            while missing:
                self._require_time(sorted(missing)[0], "it has not come")
                with suppress(TimeoutError):
                    self._accept(listener, missing)

    def _accept(self, listener: socket.socket, missing: set[str]) -> None:
        connection, address = listener.accept()
        link = Link(connection, self._silence)
        try:
            kind, payload = link.receive()
            peer = payload.decode()
            if kind != Kind.HELLO or peer not in missing:
                raise ValueError(f"{peer!r} is none of the hosts that are missing")
        except (OSError, ValueError) as error:
            log.warning("Hung up on %s: %s", address, error)
            link.close()
            return
        missing.discard(peer)
        self._exchange.add(peer, link)

    def _visit(self) -> None:
        """Connect with the chief."""
        host, port = self._addresses[self._hosts.chief]

        def connect() -> None:
            connection = socket.create_connection((host, port + 1), timeout=self._silence)
            link = Link(connection, self._silence)
            link.send(Kind.HELLO, self._hosts.current.encode())
            self._exchange.add(self._hosts.chief, link)

        self._try(connect, self._hosts.chief)

    def _try(self, attempt: Callable[[], object], name: str) -> None:
        while True:
            try:
                attempt()
            except OSError as error:
                self._require_time(name, str(error))
                time.sleep(_RETRY_SECONDS)
            else:
                return

    def _require_time(self, name: str, reason: str) -> None:
        if self._stop_asked():
            raise HostError(f"Asked to stop while waiting for host {name}; nothing was trained.")
        if time.monotonic() > self._end:
            raise HostError(
                f"Host {name} could not be reached from {self._hosts.current} within "
                f"{self._patience:g} s: {reason}. Usual cause: its container failed before it got "
                "so far (see its log), or a security group keeps the hosts apart."
            )
