"""Pictures of what benchmarks/training.py measured: how the cost grows."""

import json
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

RESULTS = Path(__file__).with_name("training.jsonl")


def draw_plots(folder: Path) -> None:
    """Draw memory and time by images, by workers, and by image size; the latest of each figure."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    _draw_images(_latest(lines, "images", "images"), folder / "training_images.svg")
    _draw_workers(_latest(lines, "workers", "network", "workers"), folder / "training_workers.svg")
    _draw_sizes(_latest(lines, "sizes", "network", "pixels"), folder / "training_sizes.svg")


def _latest(lines: list[dict[str, Any]], what: str, *keys: str) -> list[dict[str, Any]]:
    found = {tuple(line[key] for key in keys): line for line in lines if line["what"] == what}
    return [found[key] for key in sorted(found)]


def _draw_images(rows: list[dict[str, Any]], path: Path) -> None:
    figure = Figure((8, 3.2), layout="constrained")
    memory, time = figure.subplots(1, 2)
    counts = [row["images"] for row in rows]
    for name in ("peak memory, MB", "of it not pages of files, MB"):
        memory.plot(counts, [row[name] for row in rows], marker="o", label=name)
    memory.set(xscale="log", xlabel="images", ylabel="MB", ylim=(0, None), title="memory of a job")
    memory.legend()
    time.plot(counts, [row["processor seconds"] for row in rows], marker="o")
    title = "processor time, 4 minutes of training"
    time.set(xscale="log", xlabel="images", ylabel="s", ylim=(0, None), title=title)
    _save(figure, path)


def _draw_workers(rows: list[dict[str, Any]], path: Path) -> None:
    figure = Figure((4, 3.2), layout="constrained")
    axes = _cost_by(figure, rows, "workers")
    axes.set(xticks=[1, 2, 3], xlabel="workers", title="96 pixels, all together")
    _save(figure, path)


def _draw_sizes(rows: list[dict[str, Any]], path: Path) -> None:
    figure = Figure((4, 3.2), layout="constrained")
    _cost_by(figure, rows, "pixels").set(xlabel="image size, pixels", title="a training step")
    _save(figure, path)


def _cost_by(figure: Figure, rows: list[dict[str, Any]], what: str) -> Axes:
    """Draw a line for each network."""
    axes = figure.subplots()
    for network in sorted({row["network"] for row in rows}):
        own = [row for row in rows if row["network"] == network]
        figures = [row["CPU-ms an image"] for row in own]
        axes.plot([row[what] for row in own], figures, marker="o", label=network)
    axes.set(ylabel="CPU-ms an image", ylim=(0, None))
    axes.legend()
    return axes


def _save(figure: Figure, path: Path) -> None:
    # The same figures give the same file.
    with rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(path, metadata={"Date": None})
