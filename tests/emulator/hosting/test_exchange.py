"""One HTTP request to a server that answers as a test says, byte by byte."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from local_test.emulator.hosting.exchange import (
    Address,
    BrokenOffError,
    Connections,
    TimedOutError,
    exchange,
)


@contextlib.contextmanager
def _server(answer: Callable[[socket.socket], object]) -> Iterator[Address]:
    """Give the address of a server that takes one connection, and reads what comes first on it."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1024)
            answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(*listening.getsockname())
        finally:
            thread.join()


def test_a_body_that_is_refused_before_all_of_it_was_sent_is_answered_all_the_same() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"
    with _server(lambda connection: connection.sendall(refusal)) as address:
        reply = exchange(address, "POST", "/", body=bytes(20_000_000), seconds=10)
    assert (reply.status, reply.body) == (413, b"large")


def test_an_answer_whose_connection_is_to_be_closed_has_to_be_complete_in_time_too() -> None:
    def stall(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfirst")
        # Until the other side goes.
        connection.recv(1024)

    with (
        _server(stall) as address,
        pytest.raises(TimedOutError, match=r"no complete answer within 0\.3 s"),
    ):
        exchange(address, "GET", "/", seconds=0.3)


def test_connections_that_are_given_up_break_at_once_and_so_do_later_ones() -> None:
    connections, start = Connections(), time.monotonic()

    def give_up(connection: socket.socket) -> None:
        connections.close()
        connection.recv(1024)

    for answer in (give_up, lambda connection: connection.recv(1024)):
        with _server(answer) as address, pytest.raises(BrokenOffError):
            exchange(address, "GET", "/", seconds=60, connections=connections)
    assert time.monotonic() - start < 10


def test_a_given_up_request_that_a_stopped_server_refuses_is_not_worth_another_try() -> None:
    connections = Connections()
    connections.close()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = Address(*bound.getsockname())
        with pytest.raises(BrokenOffError):
            exchange(address, "GET", "/", seconds=60, connections=connections)
