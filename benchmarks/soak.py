"""Keep `serve` fully loaded for long: does it fail, grow or slow down?

    python -m benchmarks.soak MODEL_DIR SCANS.zip [--minutes 10] [--concurrency 16]

Every reply is checked, as in `benchmarks.serving`. A line a minute, then what the last one is to
the second: the first one still warms up.
"""

import argparse
from pathlib import Path

from benchmarks.load import drive, questions
from benchmarks.servers import expected_of, jpegs_of, running
from benchmarks.serving import measure
from benchmarks.stacks import ROOT, STACKS, install

_STACK = STACKS["serve (default)"]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model_dir", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--concurrency", type=int, default=16)
    arguments = parser.parse_args()
    bodies = jpegs_of(arguments.scans)
    asked = questions(_STACK.protocol, bodies, expected_of(arguments.model_dir, bodies), 1)
    load = (_STACK.protocol, asked, arguments.concurrency)
    folder = install(_STACK, ROOT / ".venv-peers")
    minutes = []
    print("| minute | requests/s | CPU-ms a request | p99, ms | MB | wrong |\n|" + "---|" * 6)
    with running(_STACK, folder, arguments.model_dir, bodies[0]) as server:
        for minute in range(1, arguments.minutes + 1):
            found = measure(server, drive, load, 60, 1)
            minutes.append(found)
            print(
                f"| {minute} | {found.images_a_second:.0f} | {found.cpu_ms:.2f} "
                f"| {found.p99_ms:.0f} | {found.memory_mb:.1f} | {found.wrong} |",
                flush=True,
            )
    if len(minutes) > 2:
        second, last = minutes[1], minutes[-1]
        print(
            f"Minute {len(minutes)} to minute 2: "
            f"{last.images_a_second / second.images_a_second:.3f} of the requests/s, "
            f"{last.memory_mb / second.memory_mb:.3f} of the memory."
        )


if __name__ == "__main__":
    main()
