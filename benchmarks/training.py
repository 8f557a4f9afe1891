"""What training costs: time and memory of the real `train`, beside the least it could take.

    python -m benchmarks.training step PARTS [--backbone small] [--rounds 5]
    python -m benchmarks.training first-step PARTS [--rounds 3]
    python -m benchmarks.training images WORKDIR [--counts 1000 10000 100000]
    python -m benchmarks.training workers PARTS WORKDIR [--backbone small] [--epochs 8] [--seeds 3]
    python -m benchmarks.training sizes PARTS [--sizes 96 128 160 208 256]
    python -m benchmarks.training plots FOLDER

PARTS is a folder with Train.zip, Val.zip and Test.zip, as `brain-tumor prepare` writes them. Each
prints a Markdown table, and adds its figures to benchmarks/training.jsonl, which `plots` draws.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.jobs import lay_out, machine, run
from benchmarks.synthetic import write_parts
from benchmarks.training_plots import RESULTS, draw_plots

_STEPS = 12
_MINUTES = 4
_CHEAP = {"image-size": "96", "mixed-precision": "false"}


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("step", "first-step"):
        command = commands.add_parser(name)
        command.add_argument("parts", type=Path)
        command.add_argument("--backbone", default="lite0")
        command.add_argument("--rounds", type=int, default=5)
    images = commands.add_parser("images")
    images.add_argument("workdir", type=Path)
    images.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    workers = commands.add_parser("workers")
    workers.add_argument("parts", type=Path)
    workers.add_argument("workdir", type=Path)
    workers.add_argument("--counts", type=int, nargs="+", default=[1, 2, 3])
    workers.add_argument("--seeds", type=int, default=3)
    workers.add_argument("--backbone", default="lite0")
    workers.add_argument("--epochs", type=int, default=4)
    sizes = commands.add_parser("sizes")
    sizes.add_argument("parts", type=Path)
    sizes.add_argument("--sizes", type=int, nargs="+", default=[96, 128, 160, 208, 256])
    commands.add_parser("plots").add_argument("folder", type=Path)
    given = parser.parse_args()
    measure: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "step": lambda: measure_step(given.parts, given.backbone, given.rounds),
        "first-step": lambda: measure_first_step(given.parts, given.backbone, given.rounds),
        "images": lambda: measure_images(given.workdir, given.counts),
        "workers": lambda: measure_workers(
            given.parts,
            given.workdir,
            given.counts,
            given.seeds,
            {**_CHEAP, "backbone": given.backbone, "epochs": str(given.epochs)},
        ),
        "sizes": lambda: measure_sizes(given.parts, given.sizes),
    }
    if given.command == "plots":
        draw_plots(given.folder)
    else:
        _print_and_keep(given.command, measure[given.command]())


def _print_and_keep(what: str, rows: Iterator[dict[str, Any]]) -> None:
    for number, row in enumerate(rows):
        if not number:
            print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
        print("| " + " | ".join(map(str, row.values())) + " |", flush=True)
        facts = {"what": what, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
        with RESULTS.open("a") as file:
            file.write(json.dumps({**facts, **row}) + "\n")


def measure_step(parts: Path, backbone: str, rounds: int) -> Iterator[dict[str, Any]]:
    """Processor time an image: of `train`'s steps, and of steps on one batch in memory."""
    from benchmarks.steps import Steps

    steps = Steps(parts, backbone=backbone)
    real, pure = [], []
    for _ in range(rounds):
        real.append(steps.processor_ms(steps.batches, _STEPS))
        pure.append(steps.processor_ms(steps.one_batch, _STEPS))
    ratios = [a / b for a, b in zip(real, pure, strict=True)]
    yield {
        "network": backbone,
        "pixels": steps.size,
        "train, CPU-ms an image": round(statistics.median(real), 2),
        "pure step, CPU-ms an image": round(statistics.median(pure), 2),
        "ratio": round(statistics.median(ratios), 3),
        "lowest and highest": f"{min(ratios):.3f} to {max(ratios):.3f}",
    }


def measure_first_step(parts: Path, backbone: str, rounds: int) -> Iterator[dict[str, Any]]:
    """Seconds from the start of `train` to its first step, and of the least that needs."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            lay_out(Path(folder), parts, {"backbone": backbone})
            command = [sys.executable, "-m", "benchmarks.first_step", folder]
            done = subprocess.run(command, capture_output=True, check=True, text=True)
        times.append(json.loads(done.stdout.splitlines()[-1]))
    medians = {name: round(statistics.median(t[name] for t in times), 2) for name in times[0]}
    yield {"network": backbone, **medians}


def measure_images(workdir: Path, counts: list[int]) -> Iterator[dict[str, Any]]:
    """Memory and time of whole jobs at the default settings, by the number of generated scans."""
    for count in counts:
        parts, ml_dir = workdir / f"parts-{count}", workdir / f"job-{count}"
        write_parts(parts, count)
        lay_out(ml_dir, parts, {"time-budget-minutes": str(_MINUTES)})
        (taken,) = run([ml_dir])
        yield {
            "images": count,
            "seconds": round(taken.seconds),
            "processor seconds": round(taken.processor_seconds),
            "peak memory, MB": round(taken.peak_mb),
            "of it not pages of files, MB": round(taken.peak_own_mb),
        }


def measure_workers(
    parts: Path, workdir: Path, counts: list[int], seeds: int, settings: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Processor time an image and accuracy, by the number of hosts, all on this machine.

    The batch is that of all hosts together, so all train on the same number of steps.
    """
    for count in counts:
        jobs = [
            _train_on(parts, workdir / f"{count}-{seed}", count, {**settings, "seed": str(seed)})
            for seed in range(seeds)
        ]
        accuracies = [job["accuracy"] for job in jobs]
        yield {
            "network": settings["backbone"],
            "workers": count,
            "seeds": seeds,
            "CPU-ms an image": round(statistics.median(job["cpu_ms"] for job in jobs), 2),
            "peak memory a worker, MB": max(job["peak_mb"] for job in jobs),
            "test accuracy, mean": f"{100 * statistics.mean(accuracies):.2f} %",
            "lowest and highest": f"{100 * min(accuracies):.2f} to {100 * max(accuracies):.2f} %",
        }


def _train_on(parts: Path, folder: Path, count: int, settings: dict[str, str]) -> dict[str, Any]:
    names = [f"algo-{number + 1}" for number in range(count)]
    hosts = [folder / name for name in names]
    for host in hosts:
        lay_out(host, parts, settings, names)
    taken = run(hosts)
    model = json.loads((hosts[0] / "model" / "model.json").read_text())
    marks = taken[0].epochs
    trained = (len(marks) - 1) * model["data"]["scans"]["train"]
    return {
        "cpu_ms": 1000 * (marks[-1] - marks[0]) / trained,
        "peak_mb": round(max(each.peak_own_mb for each in taken)),
        "accuracy": model["metrics"]["accuracy"],
    }


def measure_sizes(parts: Path, sizes: list[int]) -> Iterator[dict[str, Any]]:
    """Processor time an image of `train`'s steps, by image size."""
    from benchmarks.steps import Steps

    for backbone in ("lite0", "small"):
        for size in sizes:
            steps = Steps(parts, backbone=backbone, image_size=size)
            figures = [steps.processor_ms(steps.batches, _STEPS) for _ in range(3)]
            yield {
                "network": backbone,
                "pixels": size,
                "CPU-ms an image": round(statistics.median(figures), 2),
            }


if __name__ == "__main__":
    main()
