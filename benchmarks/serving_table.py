"""What benchmarks/serving.py measured, as a table and as a picture."""

import statistics
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    concurrency: int
    batch: int = 1
    """Images a request."""
    offered: float | None = None
    """Open loop: the share of the closed loop's rate that is offered."""

    def __str__(self) -> str:
        if self.offered is not None:
            return f"open loop, {100 * self.offered:.0f} % of the rate"
        batches = "" if self.batch == 1 else f", {self.batch} images a request"
        return f"{self.concurrency} in flight{batches}"


@dataclass(frozen=True)
class Figures:
    """One stack in one case, in one round."""

    images_a_second: float
    cpu_ms: float
    """Processor time an image."""
    p50_ms: float
    p99_ms: float
    wrong: int
    ready_seconds: float
    memory_mb: float


@dataclass
class Results:
    """All rounds."""

    first: str
    """The stack that the others are compared with."""
    rounds: dict[tuple[Case, str], list[Figures]] = field(default_factory=dict)

    def add(self, stack: str, case: Case, figures: Figures) -> None:
        """Add one round."""
        self.rounds.setdefault((case, stack), []).append(figures)

    def median(self, case: Case, stack: str, name: str) -> float:
        """Return a figure's median over the rounds."""
        return float(statistics.median(getattr(f, name) for f in self.rounds[case, stack]))

    def ratio(self, case: Case, stack: str) -> float | None:
        """Return the first stack's processor time an image divided by this one's."""
        if (case, self.first) not in self.rounds:
            return None
        return self.median(case, self.first, "cpu_ms") / self.median(case, stack, "cpu_ms")


def print_table(results: Results) -> None:
    """Print a line for each stack in each case, the cases one after the other."""
    print(
        "| load | stack | images/s | CPU-ms an image | ratio | p50 ms | p99 ms | ready s | MB "
        "| wrong replies |\n|" + "---|" * 10
    )
    cases = dict.fromkeys(case for case, _ in results.rounds)
    for case in cases:
        for stack in (stack for other, stack in results.rounds if other == case):
            ratio = results.ratio(case, stack)
            values = [
                str(case),
                stack,
                f"{results.median(case, stack, 'images_a_second'):.0f}",
                f"{results.median(case, stack, 'cpu_ms'):.1f}",
                "-" if ratio is None else f"{ratio:.1f}",
                f"{results.median(case, stack, 'p50_ms'):.1f}",
                f"{results.median(case, stack, 'p99_ms'):.1f}",
                f"{results.median(case, stack, 'ready_seconds'):.1f}",
                f"{results.median(case, stack, 'memory_mb'):.0f}",
                str(sum(f.wrong for f in results.rounds[case, stack])),
            ]
            print(f"| {' | '.join(values)} |")


def plot(results: Results, file: Path) -> None:
    """Draw processor time an image for each stack, and latency against offered load."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    costs, latencies = figure.subplots(1, 2)
    usual = max(
        (case for case, _ in results.rounds if case.batch == 1 and case.offered is None),
        key=lambda case: (case.concurrency < 64, case.concurrency),
    )
    stacks = [stack for case, stack in results.rounds if case == usual][::-1]
    bars = costs.barh(stacks, [results.median(usual, stack, "cpu_ms") for stack in stacks])
    costs.bar_label(bars, fmt="%.1f", padding=3)
    costs.margins(x=0.12)
    costs.set_xlabel("processor time an image, ms")
    costs.set_title(f"{usual}: lower is better")
    for stack in stacks[::-1]:
        points = sorted(
            (results.median(case, stack, "images_a_second"), results.median(case, stack, "p99_ms"))
            for case, other in results.rounds
            if other == stack and case.offered is not None
        )
        if points:
            latencies.plot(*zip(*points, strict=True), marker="o", label=stack)
    latencies.set(xlabel="images a second, open loop", ylabel="99 % of replies within, ms")
    latencies.set_yscale("log")
    latencies.legend(fontsize="small")
    figure.savefig(file, dpi=120)
