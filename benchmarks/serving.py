"""Serve one model in several ways, side by side, and compare what a request costs.

    python -m benchmarks.serving MODEL_DIR SCANS.zip [--seconds 4] [--rounds 3]
        [--concurrency 1 4 16 64] [--batch 1 8 32] [--offered 0.25 0.5 0.75 0.9]
        [--stacks NAME ...] [--environments FOLDER] [--plot FILE.png]

MODEL_DIR is a model folder, SCANS.zip holds scans (Test.zip of `brain-tumor prepare`). Every reply
is compared with what TensorFlow answers in float32. Stacks take turns in each round: a busy machine
slows all of them. Figures are medians over the rounds. The steady figure is the processor time an
image; `ratio` is that of the first stack divided by this one's.

`--batch` asks for several images a request of those that can, at the highest concurrency below 64.
`--offered` sends at random moments that share of the images a second that the stack answered at
that concurrency (open loop). Other projects' stacks are installed into FOLDER at their first use.
"""

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.load import Load, Question, drive, offer, questions
from benchmarks.processes import memory_mb, processor_seconds
from benchmarks.servers import Running, expected_of, jpegs_of, running
from benchmarks.serving_table import Case, Figures, Results, plot, print_table
from benchmarks.stacks import ROOT, STACKS, install


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--batch", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--offered", type=float, nargs="*", default=[0.25, 0.5, 0.75, 0.9])
    parser.add_argument("--stacks", nargs="+", choices=list(STACKS), default=list(STACKS))
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-peers")
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    bodies = jpegs_of(arguments.scans)
    expected = expected_of(arguments.model_dir, bodies)
    results = Results(first=arguments.stacks[0])
    for _ in range(arguments.rounds):
        for name in arguments.stacks:
            folder = install(STACKS[name], arguments.environments)
            with running(STACKS[name], folder, arguments.model_dir, bodies[0]) as server:
                _measure_all(results, name, server, (bodies, expected), arguments)
    print_table(results)
    if arguments.plot:
        plot(results, arguments.plot)


def _measure_all(
    results: Results,
    name: str,
    server: Running,
    scans: tuple[Sequence[bytes], Sequence[Sequence[float]]],
    arguments: argparse.Namespace,
) -> None:
    """Measure a server in all cases, the closed loops first, for the open ones need their rate."""
    protocol = STACKS[name].protocol
    usual = max(c for c in arguments.concurrency if c < 64 or c == min(arguments.concurrency))
    cases = [Case(concurrency=concurrency) for concurrency in arguments.concurrency]
    if protocol.many is not None:
        cases += [Case(concurrency=usual, batch=batch) for batch in arguments.batch]
    cases += [Case(concurrency=usual, offered=share) for share in arguments.offered]
    most = 0.0
    for case in cases:
        asked = questions(protocol, *scans, case.batch)
        how: Callable[..., Load] = drive if case.offered is None else offer
        load = case.concurrency if case.offered is None else case.offered * most
        figures = measure(server, how, (protocol, asked, load), arguments.seconds, case.batch)
        if case == Case(concurrency=usual):
            most = figures.images_a_second
        results.add(name, case, figures)


def measure(
    server: Running,
    how: Callable[..., Load],
    what: tuple[object, list[Question], float],
    seconds: float,
    batch: int,
) -> Figures:
    """Load a server, and say what that cost it.

    Args:
        server: that is measured.
        how: `drive` or `offer`.
        what: protocol, questions, and requests in flight or a second.
        seconds: how long.
        batch: images of a request.
    """
    # In a process of its own, so that the client's Python does not hold up this one.
    with multiprocessing.get_context("spawn").Pool(1) as client:
        # Before it counts, so that every shape and thread is set up.
        client.apply(how, (server.port, *what, min(1.0, seconds)))
        before = processor_seconds(server.session)
        load = client.apply(how, (server.port, *what, seconds))
        used = processor_seconds(server.session) - before
    latencies = 1000 * np.array(load.latencies)
    answered = batch * len(latencies)
    return Figures(
        images_a_second=answered / load.seconds,
        cpu_ms=1000 * used / answered,
        p50_ms=float(np.quantile(latencies, 0.5)),
        p99_ms=float(np.quantile(latencies, 0.99)),
        wrong=load.wrong,
        ready_seconds=server.ready_seconds,
        memory_mb=memory_mb(server.session),
    )


if __name__ == "__main__":
    main()
