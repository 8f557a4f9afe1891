"""training.exchange: messages between hosts, here between threads over loopback sockets."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue

import pytest

from brain_tumor.training.exchange import Exchange, Kind, Link

HOSTS = ("algo-1", "algo-2", "algo-3")
WAIT = 20


@dataclass
class Host:
    """One end of an exchange, and what it was ended with."""

    exchange: Exchange
    ended: SimpleQueue[str]
    stopped: threading.Event
    sockets: list[socket.socket] = field(default_factory=list)

    def connect(self, peer: str, connection: socket.socket) -> None:
        """Exchange messages with `peer`."""
        self.sockets.append(connection)
        self.exchange.add(peer, Link(connection, 3))

    def leave(self) -> None:
        """Break all connections, as the end of a process does."""
        self.exchange.fail("the test is over")
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    """Give three connected hosts, of which algo-1 is the chief."""
    made = {name: _host(name) for name in HOSTS}
    pairs = [socket.socketpair() for _ in HOSTS[1:]]
    for name, (ours, theirs) in zip(HOSTS[1:], pairs, strict=True):
        made["algo-1"].connect(name, ours)
        made[name].connect("algo-1", theirs)
    yield made
    for host in made.values():
        host.leave()


def _host(name: str) -> Host:
    ended: SimpleQueue[str] = SimpleQueue()
    stopped = threading.Event()
    exchange = Exchange(name, "algo-1", stopped.is_set, ended.put)
    return Host(exchange, ended, stopped)


def _all(hosts: dict[str, Host], call: Callable[[str, Exchange], object]) -> list[object]:
    """Call on all hosts at the same time, as a job does."""
    with ThreadPoolExecutor(len(hosts)) as pool:
        calls = [pool.submit(call, name, host.exchange) for name, host in hosts.items()]
        return [each.result(WAIT) for each in calls]


@pytest.mark.parametrize("owner", HOSTS)
def test_every_host_gets_what_one_of_them_has(hosts: dict[str, Host], owner: str) -> None:
    large = bytes(3_000_000)

    def call(name: str, exchange: Exchange) -> object:
        first = exchange.share(owner, lambda: f"of {name}".encode())
        return first, exchange.share(owner, lambda: large)

    assert _all(hosts, call) == [(f"of {owner}".encode(), large)] * 3


def test_a_wish_to_stop_reaches_the_chief_within_two_beats(hosts: dict[str, Host]) -> None:
    chief = hosts["algo-1"].exchange
    assert not chief.stop_wanted
    hosts["algo-3"].stopped.set()
    deadline = threading.Event()
    for _ in range(100 * WAIT):
        if chief.stop_wanted:
            break
        deadline.wait(0.01)
    assert chief.stop_wanted


@pytest.mark.parametrize("failing", HOSTS)
def test_all_others_are_ended_with_the_sentence_of_the_host_that_fails(
    hosts: dict[str, Host], failing: str
) -> None:
    hosts[failing].exchange.fail(f"Host {failing}: Train.zip is damaged")
    for name in set(HOSTS) - {failing}:
        assert hosts[name].ended.get(timeout=WAIT) == f"Host {failing}: Train.zip is damaged"
    assert hosts[failing].ended.empty()


def test_a_host_whose_connection_breaks_is_named_to_all_others(hosts: dict[str, Host]) -> None:
    hosts["algo-3"].sockets[0].shutdown(socket.SHUT_RDWR)
    for name in HOSTS[:2]:
        assert hosts[name].ended.get(timeout=WAIT).startswith("Host algo-3 is gone: ")


def test_a_chief_who_is_gone_is_named() -> None:
    ours, theirs = socket.socketpair()
    host = _host("algo-2")
    host.connect("algo-1", ours)
    theirs.close()
    assert host.ended.get(timeout=WAIT).startswith("Host algo-1 is gone: ")


def test_a_host_that_says_nothing_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    host = _host("algo-1")
    with ours, theirs:
        # Connected, but frozen: not even a beat comes.
        host.exchange.add("algo-2", Link(ours, 0.3))
        assert host.ended.get(timeout=WAIT).startswith("Host algo-2 says nothing any more.")


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "71 is not a valid Kind"),
        (b"\x04" + b"\xff" * 8, "18446744073709551615 bytes are too many"),
    ],
)
def test_who_speaks_another_language_is_given_up(greeting: bytes, reason: str) -> None:
    ours, theirs = socket.socketpair()
    host = _host("algo-1")
    with ours, theirs:
        host.exchange.add("algo-2", Link(ours, 3))
        theirs.sendall(greeting)
        assert reason in host.ended.get(timeout=WAIT)


def test_all_hosts_finish_once_the_chief_does(hosts: dict[str, Host]) -> None:
    done = SimpleQueue[str]()

    def finish(name: str) -> None:
        hosts[name].exchange.finish()
        done.put(name)

    threads = [threading.Thread(target=finish, args=(name,)) for name in HOSTS[1:]]
    for thread in threads:
        thread.start()
    threads[0].join(0.2)
    assert done.empty()
    hosts["algo-1"].exchange.finish()
    assert {done.get(timeout=WAIT) for _ in HOSTS[1:]} == set(HOSTS[1:])
    assert all(host.ended.empty() for host in hosts.values())


def test_a_chief_who_has_gone_alone_outlives_the_loss_and_the_failure_of_others(
    hosts: dict[str, Host], caplog: pytest.LogCaptureFixture
) -> None:
    chief = hosts["algo-1"]
    chief.exchange.go_alone()
    hosts["algo-2"].exchange.fail("Host algo-2: its disk is full")
    hosts["algo-3"].sockets[0].shutdown(socket.SHUT_RDWR)
    # It waits for neither of them, and is not ended.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(chief.exchange.finish).result(WAIT)
    assert chief.ended.empty()
    assert "Host algo-2: its disk is full The job goes on without it" in caplog.text
    assert "Host algo-3 is gone" in caplog.text


def test_beats_reach_the_others_while_one_is_sent_much_for_long() -> None:
    host = _host("algo-1")
    slow, quick = socket.socketpair(), socket.socketpair()
    with slow[0], slow[1], quick[0], quick[1], ThreadPoolExecutor(1) as pool:
        busy, other = Link(slow[0], WAIT), Link(quick[1], WAIT)
        host.exchange.add("algo-2", busy)
        host.exchange.add("algo-3", Link(quick[0], WAIT))
        # Nobody reads it yet, so that the sender holds the link.
        sent = pool.submit(busy.send, Kind.DATA, bytes(5_000_000))
        assert slow[1].recv(1)
        # The first may have been on its way already.
        assert [other.receive() for _ in range(3)] == [(Kind.BEAT, b"")] * 3
        assert not sent.done()
        slow[1].shutdown(socket.SHUT_RDWR)
        assert isinstance(sent.exception(WAIT), OSError)
        host.leave()


def test_threads_of_an_exchange_leave_sigterm_to_the_main_thread() -> None:
    masks: SimpleQueue[set[int]] = SimpleQueue()

    def end(_: str) -> None:
        masks.put(signal.pthread_sigmask(signal.SIG_BLOCK, ()))

    def stop_asked() -> bool:
        masks.put(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return False

    ours, theirs = socket.socketpair()
    with ours, theirs:
        exchange = Exchange("algo-2", "algo-1", stop_asked, end)
        exchange.add("algo-1", Link(ours, WAIT))
        beating = masks.get(timeout=WAIT)
        theirs.shutdown(socket.SHUT_RDWR)
        listening = masks.get(timeout=WAIT)
    assert signal.SIGTERM in beating & listening
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_messages_arrive_whole_and_in_order() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        first, second = Link(ours, 3), Link(theirs, 3)
        payloads = [b"", b"x", bytes(5_000_000)]
        with ThreadPoolExecutor(1) as pool:
            for payload in payloads:
                pool.submit(first.send, Kind.DATA, payload)
            assert [second.receive() for _ in payloads] == [(Kind.DATA, p) for p in payloads]
