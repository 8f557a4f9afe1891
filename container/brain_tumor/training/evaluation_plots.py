"""Pictures of an evaluation beside the confusion matrix: for people who would rather look."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import RocCurveDisplay, roc_auc_score, roc_curve

from brain_tumor.training.abstention import risk_coverage
from brain_tumor.training.calibration import CALIBRATION_BINS
from brain_tumor.training.evaluation import Evaluation
from brain_tumor.training.robustness import Condition, Robustness

_DPI = 120
_GOOD_AREA = 0.95
_COLOURS = {"corruption": "tab:blue", "pose": "tab:green", "shortcut": "tab:orange"}
_KINDS = {
    "corruption": "artefact: should hardly fall",
    "pose": "pose",
    "shortcut": "part blanked: the last two should fall",
}


def draw_reliability(evaluation: Evaluation, path: Path) -> None:
    """Draw accuracy by highest probability, and how many scans have which probability."""
    figure = Figure(figsize=(5.5, 6), layout="constrained")
    curve, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    confidence = evaluation.confidence.clip(max=1)
    CalibrationDisplay.from_predictions(
        evaluation.correct,
        confidence,
        n_bins=CALIBRATION_BINS,
        pos_label=True,
        ax=curve,
        name="model",
    )
    curve.set(
        title=f"Are {len(evaluation)} answers as often right as they claim?",
        xlabel="",
        ylabel="share of right answers",
        xlim=(0, 1.01),
        ylim=(0, 1.02),
    )
    curve.legend(loc="upper left")
    counts.hist(confidence, bins=list(np.linspace(0, 1, CALIBRATION_BINS + 1)))
    counts.set(xlabel="highest probability of a scan", ylabel="scans")
    for axes in (curve, counts):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=_DPI)


def draw_roc_curves(evaluation: Evaluation, path: Path) -> None:
    """Draw a ROC curve for each class against the rest, of classes that the scans allow it for.

    Curves of good models crowd in the upper left corner; it is then drawn once more, enlarged.
    """
    curves, areas = [], []
    for number, name in enumerate(evaluation.class_names):
        mine = evaluation.labels == number
        if mine.any() and not mine.all():
            score = evaluation.probabilities[:, number]
            x, y, _ = roc_curve(mine, score)
            areas.append(roc_auc_score(mine, score))
            curves.append(RocCurveDisplay(fpr=x, tpr=y, name=f"{name}, area {areas[-1]:.3f}"))
    crowded = max(areas, default=0) > _GOOD_AREA
    figure = Figure(figsize=(10 if crowded else 5.2, 4.8), layout="constrained")
    whole, *corners = figure.subplots(1, 2 if crowded else 1, squeeze=False)[0]
    for axes in (whole, *corners):
        for curve in curves:
            curve.plot(ax=axes)
        axes.grid(alpha=0.3)
    whole.plot([0, 1], [0, 1], color="grey", linestyle=":", label="guessing")
    whole.set(title="Each class against the rest", xlim=(-0.01, 1), ylim=(0, 1.01))
    whole.legend(loc="lower right")
    for corner in corners:
        corner.set(title="The same, upper left corner", xlim=(-0.002, 0.2), ylim=(0.8, 1.002))
        # scikit-learn's own; the one on the left is enough.
        corner.get_legend().remove()
    for axes in (whole, *corners):
        axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    figure.savefig(path, dpi=_DPI)


def draw_risk_coverage(evaluation: Evaluation, path: Path) -> None:
    """Draw the errors among the most confident answers, with the threshold for `uncertain`."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    coverage, risk = risk_coverage(evaluation.correct, evaluation.confidence)
    axes.plot(100 * coverage, 100 * risk, drawstyle="steps-post")
    answered = float((evaluation.confidence >= evaluation.threshold).mean())
    axes.axvline(
        100 * answered,
        color="tab:red",
        linestyle="--",
        label=f"confident: {100 * answered:.0f} % (probability of at least "
        f"{evaluation.threshold:.3f})",
    )
    axes.set(
        title="Errors among the most confident answers",
        xlabel="answered scans, %, the most confident first",
        ylabel="errors among them, %",
        xlim=(0, 101),
        ylim=(0, max(1.0, 105 * float(risk.max()))),
    )
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=_DPI)


def draw_robustness(robustness: Robustness, path: Path) -> None:
    """Draw a bar of accuracy for each condition that was measured."""
    conditions = robustness.conditions
    figure = Figure(figsize=(8, 1.6 + 0.3 * len(conditions)), layout="constrained")
    axes = figure.subplots()
    for kind, colour in _COLOURS.items():
        _draw_bars(axes, [c for c in conditions if c.kind == kind], colour, _KINDS[kind])
    axes.invert_yaxis()
    for share, name, style in (
        (robustness.clean_accuracy, "unchanged", "-"),
        (robustness.majority_share, "always the largest class", ":"),
    ):
        axes.axvline(100 * share, color="black", linestyle=style, label=name, zorder=0)
    axes.set(title=f"Accuracy on {robustness.scans} scans, changed", xlabel="%", xlim=(0, 108))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=_DPI)


def _draw_bars(axes: Axes, conditions: list[Condition], colour: str, label: str) -> None:
    if conditions:
        names = [condition.name for condition in conditions]
        bars = axes.barh(
            names, [100 * c.accuracy for c in conditions], color=colour, label=label, height=0.7
        )
        plain = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        axes.bar_label(bars, fmt="%.1f", padding=3, bbox=plain)
