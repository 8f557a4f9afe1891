"""Train by the real `brain-tumor train` on a split without a leak, and log what came out.

    python -m benchmarks.recipe ARCHIVE WORKDIR [--seed N] [--official] [-s key=value ...]
    python -m benchmarks.recipe --table

The split is that of `brain-tumor prepare --val 0.1 --test 0.15` with seed 0 (whole near-duplicate
groups to one side), or the archive's own with `--official`, leak and all. `-s` sets a
hyperparameter. Each run adds a line to benchmarks/recipe.jsonl, so that a table may be filled over
several days; `--table` prints it.
"""

import argparse
import json
import os
import resource
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.jobs import BIN, lay_out, machine

RESULTS = Path(__file__).with_suffix(".jsonl")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=Path, nargs="?")
    parser.add_argument("workdir", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--official", action="store_true")
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="key=value")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if arguments.table:
        print_table([json.loads(line) for line in RESULTS.read_text().splitlines()])
        return
    if arguments.archive is None or arguments.workdir is None:
        parser.error("ARCHIVE and WORKDIR are needed")
    hyperparameters = dict(setting.split("=", 1) for setting in arguments.settings)
    hyperparameters["seed"] = str(arguments.seed)
    line = run(arguments.archive, arguments.workdir, hyperparameters, arguments.official)
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print_table([line])


def run(
    archive: Path, workdir: Path, hyperparameters: dict[str, str], official: bool
) -> dict[str, Any]:
    """Prepare the archive unless that is done, train, and return the figures of the run."""
    split = "official" if official else "prepared"
    parts = workdir / split
    if not (parts / "Test.zip").is_file():
        options = ["--official"] if official else ["--val", "0.1", "--test", "0.15"]
        subprocess.run([BIN / "brain-tumor", "prepare", archive, parts, *options], check=True)
    name = "-".join([split, *(f"{k}={v}" for k, v in sorted(hyperparameters.items()))])
    ml_dir = workdir / name
    lay_out(ml_dir, parts, hyperparameters)
    start = time.monotonic()
    environment = {**os.environ, "SAGEMAKER_BASE_DIR": str(ml_dir)}
    subprocess.run([BIN / "brain-tumor", "train"], env=environment, check=True)
    minutes = (time.monotonic() - start) / 60
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    quality = json.loads((ml_dir / "output/data/evaluation.json").read_text())
    model = json.loads((ml_dir / "model/model.json").read_text())
    history = json.loads((ml_dir / "output/data/training_history.json").read_text())
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "split": split,
        "hyperparameters": hyperparameters,
        "settled": model["hyperparameters"],
        "data": model["data"],
        "kept_epochs": history["kept_epochs"],
        "epochs_trained": len(history["epochs"]),
        "minutes": round(minutes, 1),
        "memory_gib": round(memory, 2),
        "figures": {name: figures and _short(figures) for name, figures in _sets(quality).items()},
        "foreign": quality["foreign_pictures"],
    }


def print_table(lines: list[dict[str, Any]]) -> None:
    """Print runs as a Markdown table, a line for each set of test scans."""
    print(
        "| run | test scans | accuracy | macro-F1 | worst sensitivity | ECE | accuracy at 80 % "
        "| AUROC foreign; false alarms at 95 % | minutes | GiB |\n|" + "---|" * 10
    )
    for line in lines:
        settings = (f"{k}={v}" for k, v in sorted(line["hyperparameters"].items()))
        run_name = " ".join([*settings, *([f"({line['note']})"] if "note" in line else [])])
        foreign = line["foreign"]
        seen = f"{foreign['auroc']:.4f}; {foreign['false_alarms_at_95']:.4f}" if foreign else "-"
        for name, figures in line["figures"].items():
            if figures:
                print(
                    f"| {line['split']} {run_name} | {name}: {figures['scans']} "
                    f"| {100 * figures['accuracy']:.2f} | {figures['macro_f1']:.4f} "
                    f"| {figures['worst_sensitivity']:.3f} | {figures['ece']:.4f} "
                    f"| {100 * figures['accuracy_at_80']:.2f} | {seen} "
                    f"| {line['minutes'] or '-'} | {line['memory_gib'] or '-'} |"
                )


def _sets(quality: dict[str, Any]) -> dict[str, Any]:
    figures: dict[str, Any] = quality["figures"]
    return figures


def _short(figures: dict[str, Any]) -> dict[str, Any]:
    sensitivities = [c["sensitivity"] for c in figures["classes"].values()]
    return {
        "scans": figures["scans"],
        "accuracy": figures["accuracy"]["value"],
        "macro_f1": figures["macro_f1"]["value"],
        "worst_sensitivity": min(s["value"] for s in sensitivities if s),
        "ece": figures["ece"]["value"],
        "accuracy_at_80": figures["accuracy_at_80"]["value"],
    }


if __name__ == "__main__":
    main()
