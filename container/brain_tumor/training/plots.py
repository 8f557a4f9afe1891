"""Pictures of a training run: learning curves and the confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay

from brain_tumor.training.evaluation import NOTHING_ALIKE, Evaluation
from brain_tumor.training.metrics import Epoch

_DPI = 120


def draw_learning_curves(epochs: Sequence[Epoch], best: Epoch, path: Path) -> None:
    """Draw loss, accuracy and learning rate by epoch, with the epoch whose weights are kept."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    numbers = [epoch.epoch for epoch in epochs]
    _draw_pair(loss, numbers, [e.train_loss for e in epochs], [e.val_loss for e in epochs])
    loss.set(title="Loss", ylabel="cross-entropy", ylim=(0, None))
    train_accuracy = [100 * epoch.train_accuracy for epoch in epochs]
    _draw_pair(accuracy, numbers, train_accuracy, [100 * epoch.val_accuracy for epoch in epochs])
    accuracy.set(title="Accuracy", ylabel="%", ylim=(None, 101))
    rate.plot(numbers, [epoch.learning_rate for epoch in epochs], color="tab:green", marker=".")
    rate.set(title="Learning rate", ylim=(0, None))
    for axes in (loss, accuracy, rate):
        axes.axvline(best.epoch, color="grey", linestyle=":", label=f"kept: epoch {best.epoch}")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    loss.legend()
    figure.savefig(path, dpi=_DPI)


def draw_confusion_matrix(evaluation: Evaluation, path: Path) -> None:
    """Draw the counts, coloured by share of the row."""
    matrix = evaluation.confusion_matrix()
    side = 3 + 0.8 * len(evaluation.class_names)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(min=1)
    display = ConfusionMatrixDisplay(shares, display_labels=list(evaluation.class_names))
    display.plot(ax=axes, cmap="Blues", include_values=False, im_kw={"vmin": 0, "vmax": 1})
    for (row, column), count in _cells(matrix.tolist()):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set_title(confusion_title(evaluation), fontsize="medium")
    axes.tick_params(axis="x", rotation=30)
    figure.savefig(path, dpi=_DPI)


def confusion_title(evaluation: Evaluation) -> str:
    """Say how many scans are right, and with a leak how many of those that do not leak."""
    title = (
        f"{evaluation.channel}: {100 * evaluation.accuracy:.1f} % of {len(evaluation)} scans right"
    )
    if not evaluation.leaky:
        return title
    name, part = evaluation.headline()
    if name != NOTHING_ALIKE:
        return f"{title},\nall like scans of training (LEAK)"
    return (
        f"{title} (LEAK);\n{100 * part.accuracy:.1f} % of the {len(part)} that nothing in training "
        "resembles"
    )


def _draw_pair(
    axes: Axes, numbers: list[int], train: Sequence[float], val: Sequence[float]
) -> None:
    axes.plot(numbers, train, label="training (augmented, smoothed labels)", marker=".")
    axes.plot(numbers, val, label="validation", marker=".")


def _cells(matrix: list[list[int]]) -> list[tuple[tuple[int, int], int]]:
    return [((r, c), count) for r, row in enumerate(matrix) for c, count in enumerate(row)]
