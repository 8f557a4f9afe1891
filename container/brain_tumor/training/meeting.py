"""How the hosts of a job find each other: names that come late, then links with the chief."""

import logging
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from brain_tumor.settings import Settings
from brain_tumor.training.cluster import Cluster, Hosts
from brain_tumor.training.exchange import Exchange, HostError, Kind, Link

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5


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
    return Cluster(hosts, addresses, exchange, settings.cluster_silence_seconds)


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
        with self._listen(port + 1) as listener:
            listener.settimeout(_RETRY_SECONDS)
            while missing:
                self._require_time(sorted(missing)[0], "it has not come")
                with suppress(TimeoutError):
                    self._accept(listener, missing)

    def _listen(self, port: int) -> socket.socket:
        try:
            return socket.create_server(("", port))
        except OSError as error:
            raise HostError(
                f"Host {self._hosts.current} cannot listen on port {port}: {error}. Usual cause: "
                "another program has it; set BRAIN_TUMOR_CLUSTER_PORT to another, of which the "
                "next one is free too, on all hosts."
            ) from error

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
