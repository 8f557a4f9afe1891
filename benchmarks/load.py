"""A client that keeps so many requests in flight and checks every reply."""

import http.client
import itertools
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 0.05
"""How far a probability may be from the expected one, the bound of bfloat16."""


@dataclass
class Load:
    """What a client saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds from the request to its whole reply."""
    wrong: int = 0
    """Replies of another status than 200, or with other probabilities than those expected."""


def drive(
    port: int,
    bodies: Sequence[bytes],
    expected: Sequence[Sequence[float]],
    concurrency: int,
    seconds: float,
) -> Load:
    """Send the JPEG `bodies` in turn, `concurrency` at a time, for so long."""
    load, lock, turn = Load(), threading.Lock(), itertools.count()
    start = time.monotonic()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < start + seconds:
            number = next(turn) % len(bodies)
            sent = time.monotonic()
            connection.request(
                "POST", "/invocations", bodies[number], {"Content-Type": "image/jpeg"}
            )
            response = connection.getresponse()
            document = response.read()
            took = time.monotonic() - sent
            right = response.status == 200 and _agrees(json.loads(document), expected[number])
            with lock:
                load.latencies.append(took)
                load.wrong += not right
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.seconds = time.monotonic() - start
    return load


def _agrees(document: dict[str, Any], expected: Sequence[float]) -> bool:
    given = document["predictions"][0] if "predictions" in document else document
    probabilities = given["probabilities"]
    values = list(probabilities.values()) if isinstance(probabilities, dict) else probabilities
    return all(abs(a - b) <= TOLERANCE for a, b in zip(values, expected, strict=True))
