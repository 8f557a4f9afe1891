"""Clients that load a server, closed loop or open, and check every reply."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.stacks import Protocol, Request

TOLERANCE = 0.05
"""How far a probability may be from the expected one, for stacks that compute in few bits."""

_OPEN_CLIENTS = 96
"""Threads of the open loop: more than wait at any load that is not an overload."""


@dataclass(frozen=True)
class Question:
    """One request, and the probabilities that its images shall get."""

    request: Request
    expected: Sequence[Sequence[float]]


@dataclass
class Load:
    """What a client saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds from the request, or from when it was due, to its whole reply."""
    wrong: int = 0
    """Replies of another status than 200, or with other probabilities than those expected."""


def questions(
    protocol: Protocol, bodies: Sequence[bytes], expected: Sequence[Sequence[float]], batch: int
) -> list[Question]:
    """Make requests of `batch` images each from JPEGs and what is expected for them."""
    places = [range(n, n + batch) for n in range(0, len(bodies) - batch + 1, batch)]
    return [
        Question(protocol.request([bodies[n] for n in place]), [expected[n] for n in place])
        for place in places
    ]


def drive(
    port: int, protocol: Protocol, asked: Sequence[Question], concurrency: int, seconds: float
) -> Load:
    """Keep `concurrency` requests in flight for so long (closed loop)."""
    client = _Client(port, protocol, asked)
    end = time.monotonic() + seconds

    def due() -> Iterator[float]:
        while (now := time.monotonic()) < end:
            yield now

    return client.run([due() for _ in range(concurrency)])


def offer(
    port: int, protocol: Protocol, asked: Sequence[Question], rate: float, seconds: float
) -> Load:
    """Send `rate` requests a second at random moments, whatever the server does (open loop).

    Latency counts from when a request was due, so that waiting counts (no coordinated omission).
    """
    client = _Client(port, protocol, asked)
    gaps = np.random.default_rng(0).exponential(1 / rate, round(rate * seconds))
    moments = iter((time.monotonic() + 0.1 + np.cumsum(gaps)).tolist())
    lock = threading.Lock()

    def due() -> Iterator[float]:
        while True:
            with lock:
                moment = next(moments, None)
            if moment is None:
                return
            time.sleep(max(0.0, moment - time.monotonic()))
            yield moment

    return client.run([due() for _ in range(_OPEN_CLIENTS)])


class _Client:
    def __init__(self, port: int, protocol: Protocol, asked: Sequence[Question]) -> None:
        self._port, self._protocol, self._asked = port, protocol, asked
        self._turn, self._lock = itertools.count(), threading.Lock()
        self._load = Load()

    def run(self, schedules: Sequence[Iterator[float]]) -> Load:
        start = time.monotonic()
        threads = [threading.Thread(target=self._send, args=(due,)) for due in schedules]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._load.seconds = time.monotonic() - start
        return self._load

    def _send(self, schedule: Iterator[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        for due in schedule:
            question = self._asked[next(self._turn) % len(self._asked)]
            content_type, body = question.request
            connection.request("POST", self._protocol.path, body, {"Content-Type": content_type})
            response = connection.getresponse()
            document = response.read()
            took = time.monotonic() - due
            right = response.status == 200 and self._agrees(document, question)
            with self._lock:
                self._load.latencies.append(took)
                self._load.wrong += not right
        connection.close()

    def _agrees(self, document: bytes, question: Question) -> bool:
        given = np.array(self._protocol.probabilities(json.loads(document)))
        expected = np.array(question.expected)
        return given.shape == expected.shape and bool((abs(given - expected) <= TOLERANCE).all())
