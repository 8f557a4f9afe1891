"""Where the time of one lone request to `serve` goes, by stage.

    python -m benchmarks.profile MODEL_DIR SCANS.zip [--requests 300] [--rounds 3]

One request at a time, so that stages do not wait for one another. Stages are what `GET /metrics`
tells (wall clock); what is left of a request's time is HTTP, threads and the client. Medians.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import processor_seconds
from benchmarks.servers import Running, jpegs_of, running
from benchmarks.stacks import ROOT, STACKS, install
from tests.server import request

_STACK = STACKS["serve (default)"]
_STAGES = ("read", "decode", "queue", "predict", "encode")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    bodies = jpegs_of(arguments.scans)
    folder = install(_STACK, ROOT / ".venv-peers")
    with running(_STACK, folder, arguments.model_dir, bodies[0]) as server:
        _ask(server, bodies, 100)
        rounds = [_ask(server, bodies, arguments.requests) for _ in range(arguments.rounds)]
    print("| stage | ms a request |\n|---|---|")
    for name in rounds[0]:
        print(f"| {name} | {1000 * np.median([found[name] for found in rounds]):.2f} |")


def _ask(server: Running, bodies: list[bytes], count: int) -> dict[str, float]:
    before, used, start = _stages(server), processor_seconds(server.session), time.monotonic()
    for number in range(count):
        body = bodies[number % len(bodies)]
        reply = request(server.port, "POST", "/invocations", body, {"Content-Type": "image/jpeg"})
        assert reply.status == 200, reply.body  # noqa: S101
    whole = (time.monotonic() - start) / count
    used = (processor_seconds(server.session) - used) / count
    after = _stages(server)
    parts = {name: (after[name] - before[name]) / count for name in _STAGES}
    rest = whole - sum(parts.values())
    return {**parts, "the rest": rest, "the whole": whole, "processor time of the server": used}


def _stages(server: Running) -> dict[str, float]:
    text = request(server.port, "GET", "/metrics").body.decode()
    sums = {
        sample.labels["stage"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "brain_tumor_stage_seconds_sum"
    }
    return {name: sums.get(name, 0.0) for name in _STAGES}


if __name__ == "__main__":
    main()
