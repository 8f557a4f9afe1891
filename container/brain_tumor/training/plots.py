"""Pictures of a training run: learning curves and the confusion matrix."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay

from brain_tumor.training.evaluation import NOTHING_ALIKE, Evaluation
from brain_tumor.training.metrics import Epoch, Fit, Training

_DPI = 120


def draw_learning_curves(training: Training, path: Path) -> None:
    """Draw loss, accuracy and learning rate by epoch, with the epochs whose weights are kept.

    The members of a soup, and what their mean was taught, are drawn apart; a cross shows what
    their mean gives.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    for fitted in training.loops:
        _draw_pair(loss, fitted, lambda e: e.train_loss, lambda e: e.val_loss)
        _draw_pair(
            accuracy, fitted, lambda e: 100 * e.train_accuracy, lambda e: 100 * e.val_accuracy
        )
        numbers = [epoch.epoch for epoch in fitted.epochs]
        rates = [epoch.learning_rate for epoch in fitted.epochs]
        rate.plot(numbers, rates, color="tab:green", marker=".")
    loss.set(title="Loss", ylabel="cross-entropy", ylim=(0, None))
    accuracy.set(title="Accuracy", ylabel="%", ylim=(None, 101))
    rate.set(title="Learning rate", ylim=(0, None))
    if training.mean:
        last = training.members[-1].epochs[-1].epoch
        for axes, value in ((loss, training.mean.loss), (accuracy, 100 * training.mean.accuracy)):
            axes.plot(last, value, "x", color="tab:red", label="validation, mean of the weights")
    for axes in (loss, accuracy, rate):
        for epoch in training.kept_epochs:
            axes.axvline(epoch, color="grey", linestyle=":", label="kept")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.legend(*_once(loss), loc="outside lower center", ncols=4)
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
    axes: Axes,
    fitted: Fit,
    train: Callable[[Epoch], float],
    val: Callable[[Epoch], float],
) -> None:
    numbers = [epoch.epoch for epoch in fitted.epochs]
    labels = {"training (varied scans, softened labels)": train, "validation": val}
    for (label, figure), colour in zip(labels.items(), ("tab:blue", "tab:orange"), strict=True):
        values = [figure(epoch) for epoch in fitted.epochs]
        axes.plot(numbers, values, label=label, color=colour, marker=".")


def _once(axes: Axes) -> tuple[list[Artist], list[str]]:
    """Return the legend's entries, each label once although each member has its own line."""
    artists, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, artists, strict=True))
    return list(by_label.values()), list(by_label)


def _cells(matrix: list[list[int]]) -> list[tuple[tuple[int, int], int]]:
    return [((r, c), count) for r, row in enumerate(matrix) for c, count in enumerate(row)]
