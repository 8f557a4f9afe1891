"""A server in a container with a published port."""

import json
import time

import pytest

from tests.scans import encode, head
from tests.server import request


def wait_until_healthy(port: int) -> None:
    """Ping a published port until 200."""

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if request(port, "GET", "/ping").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("never healthy")


def assert_classifies(port: int) -> None:
    """Send a scan, and check that probabilities come back."""
    reply = request(
        port, "POST", "/invocations", encode(head(0), "JPEG"), {"Content-Type": "image/jpeg"}
    )
    assert reply.status == 200, reply.body
    (entry,) = json.loads(reply.body)["predictions"]
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)
