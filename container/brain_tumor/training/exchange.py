"""Messages between the hosts of a job, and the watch that each keeps over the others.

Every host has one TCP connection, to the chief, who passes on what concerns all. TensorFlow's
collectives carry the gradients; what they cannot do is done here: say why a host failed, notice
within seconds that one is gone or frozen while all others wait in a collective, agree on a stop.
Payloads are bytes, JSON or numpy arrays, never pickles: what a stranger sends is not run.
"""

import logging
import queue
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum

from brain_tumor.errors import BrainTumorError
from brain_tumor.training.stop import held_back

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
_HEADER = struct.Struct("!BQ")
_CHUNK = 1 << 20
_MOST_BYTES = 1 << 36
_GOODBYE_SECONDS = 30


class HostError(BrainTumorError):
    """A host of the job failed or was lost; the sentence names it."""


class Kind(IntEnum):
    """What a message is."""

    HELLO = 1
    BEAT = 2
    STOP = 3
    """A beat of a host that was asked to stop."""
    DATA = 4
    FAILURE = 5
    END = 6


class Link:
    """A connection that carries messages; any thread may send, one receives."""

    def __init__(self, connection: socket.socket, silence: float) -> None:
        """Take a connection; one that says nothing for `silence` seconds is given up."""
        connection.settimeout(silence)
        self._socket = connection
        self._file = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one message.

        Raises:
            OSError: the other side is gone, or takes nothing.
        """
        with self._sending:
            self._put(kind, len(payload))
            # The time-out is for each call: a large payload may take longer.
            for start in range(0, len(payload), _CHUNK):
                self._socket.sendall(payload[start : start + _CHUNK])

    def beat(self, kind: Kind) -> None:
        """Send a message without payload, unless another is under way: that is a sign of life too.

        Raises:
            OSError: the other side is gone, or takes nothing.
        """
        if self._sending.acquire(blocking=False):
            try:
                self._put(kind, 0)
            finally:
                self._sending.release()

    def receive(self) -> tuple[Kind, bytes]:
        """Wait for the next message.

        Raises:
            OSError: the other side is gone, or says nothing.
            ValueError: it speaks another language.
        """
        number, length = _HEADER.unpack(self._read(_HEADER.size))
        kind = Kind(number)
        if length > _MOST_BYTES:
            raise ValueError(f"{length} bytes are too many for a message")
        return kind, self._read(length)

    def close(self) -> None:
        """Hang up; for the one who receives."""
        with self._sending:
            self._file.close()
            self._socket.close()

    def _put(self, kind: Kind, length: int) -> None:
        self._socket.sendall(_HEADER.pack(kind, length))

    def _read(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise ConnectionResetError("the connection was closed")
        return data


class Exchange:
    """What one host says to the others, and hears from them."""

    def __init__(
        self, current: str, chief: str, stop_asked: Callable[[], bool], end: Callable[[str], None]
    ) -> None:
        """Begin without connections.

        Args:
            current: name of this host.
            chief: name of the host that all others are connected with.
            stop_asked: True once this host was asked to stop; the others are told.
            end: called from another thread, with a sentence, when another host failed or is gone.
                It shall end the process, since the main thread may hang in a collective.
        """
        self._current, self._chief = current, chief
        self._stop_asked, self._end = stop_asked, end
        self._links: dict[str, Link] = {}
        self._inbox: dict[str, queue.SimpleQueue[bytes]] = {}
        self._ended: dict[str, threading.Event] = {}
        self._over, self._ending = threading.Event(), threading.Lock()
        self._alone = False
        self.stop_wanted = False
        """Whether a host that is connected with this one was asked to stop."""
        _start(self._beat)

    def add(self, peer: str, link: Link) -> None:
        """Exchange messages with `peer`, and watch it, from now on."""
        self._inbox[peer], self._ended[peer] = queue.SimpleQueue(), threading.Event()
        self._links = {**self._links, peer: link}
        _start(self._listen, peer, link)

    def share(self, owner: str, make: Callable[[], bytes]) -> bytes:
        """Give every host what `make` returns on `owner`; all hosts make the same calls in order.

        Raises:
            HostError: a connection is lost.
        """
        if owner == self._current:
            payload = make()
        elif self._current == self._chief:
            payload = self._inbox[owner].get()
        else:
            return self._inbox[self._chief].get()
        for peer, link in self._links.items():
            if peer != owner:
                self._send(peer, link, payload)
        return payload

    def go_alone(self) -> None:
        """Need the others no more: one that fails or is lost ends this host no longer."""
        self._alone = True

    def fail(self, sentence: str) -> None:
        """Tell the others that this host fails, and why; what becomes of them matters no more."""
        self._over.set()
        self._tell(Kind.FAILURE, sentence.encode(), besides=self._current)

    def finish(self) -> None:
        """Wait until all hosts are done; the chief is the one that says so."""
        if self._current == self._chief:
            self._tell(Kind.END, b"", besides=self._current)
            for ended in self._ended.values():
                ended.wait(_GOODBYE_SECONDS)
            self._over.set()
            return
        self._ended[self._chief].wait()
        self._over.set()
        self._tell(Kind.END, b"", besides=self._current)

    def _send(self, peer: str, link: Link, payload: bytes) -> None:
        try:
            link.send(Kind.DATA, payload)
        except OSError as error:
            raise HostError(_lost(peer, error)) from error

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            kind = Kind.STOP if self._stop_asked() else Kind.BEAT
            for link in self._links.values():
                # `_listen` finds it out too, and says it.
                with suppress(OSError):
                    link.beat(kind)

    def _listen(self, peer: str, link: Link) -> None:
        try:
            while True:
                self._take(peer, *link.receive())
        except (OSError, ValueError) as error:
            if not (self._over.is_set() or self._ended[peer].is_set()):
                self._give_up(peer, _lost(peer, error))
        finally:
            link.close()

    def _take(self, peer: str, kind: Kind, payload: bytes) -> None:
        if kind == Kind.DATA:
            self._inbox[peer].put(payload)
        elif kind == Kind.STOP:
            self.stop_wanted = True
        elif kind == Kind.END:
            self._ended[peer].set()
        elif kind == Kind.FAILURE:
            self._give_up(peer, payload.decode())

    def _give_up(self, peer: str, sentence: str) -> None:
        if self._alone:
            log.warning("%s The job goes on without it: training is over", sentence)
            self._ended[peer].set()
            return
        # Held for good: the first cause is the one that counts.
        if self._ending.acquire(blocking=False):
            self._over.set()
            self._tell(Kind.FAILURE, sentence.encode(), besides=peer)
            self._end(sentence)

    def _tell(self, kind: Kind, payload: bytes, besides: str) -> None:
        for peer, link in self._links.items():
            if peer != besides:
                # `_listen` finds it out too, and says it.
                with suppress(OSError):
                    link.send(kind, payload)


def _start(work: Callable[..., None], *arguments: object) -> None:
    # The main thread alone takes SIGTERM, also while it holds the signal back.
    with held_back():
        threading.Thread(target=work, args=arguments, daemon=True).start()


def _lost(peer: str, error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return (
            f"Host {peer} says nothing any more. Usual cause: its machine is gone or frozen, or "
            "the network between the hosts is cut."
        )
    return (
        f"Host {peer} is gone: {error}. Usual cause: its process was killed, for example for want "
        "of memory, or its machine was taken away; its own log may say more."
    )
