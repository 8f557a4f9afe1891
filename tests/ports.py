"""Ports on loopback that nothing listens on, for the servers of tests."""

import itertools
import os
import socket
from collections.abc import Iterator

# Each worker of pytest-xdist has some of its own. Linux gives clients those above 32767, so nobody
# takes one of these between the moment it is found and the one at which a server listens.
_FIRST, _PER_WORKER, _WORKERS = 10_000, 2_000, 5
_numbers = itertools.count(2 * os.getpid(), 2)


def free_ports() -> Iterator[int]:
    """Give ports that are free, and whose next ones are too; none comes twice soon."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    for number in _numbers:
        port = _FIRST + worker * _PER_WORKER + number % _PER_WORKER
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        yield port


def free_port() -> int:
    """Find a port that is free."""
    return next(free_ports())
