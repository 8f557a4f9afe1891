"""What a training run says at its end, and the files it leaves in output/data."""

import csv
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sklearn import metrics

from brain_tumor.training.documents import write_model_card, write_page
from brain_tumor.training.evaluation import Evaluation
from brain_tumor.training.evaluation_plots import (
    draw_reliability,
    draw_risk_coverage,
    draw_robustness,
    draw_roc_curves,
)
from brain_tumor.training.metrics import (
    LEAK_FREE_ACCURACY,
    TEST_ACCURACY,
    Fit,
    Training,
    Validation,
)
from brain_tumor.training.plots import draw_confusion_matrix, draw_learning_curves
from brain_tumor.training.quality import Findings, model_quality
from brain_tumor.training.summary import headline_sentence, leak_sentence

log = logging.getLogger(__name__)


def write_findings(findings: Findings, folder: Path) -> None:
    """Write the evaluation's JSON, text, CSV, pictures, page and model card into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = findings.evaluation
    quality = json.dumps(model_quality(findings), indent=2, allow_nan=False) + "\n"
    (folder / "evaluation.json").write_text(quality)
    _write_classification_report(evaluation, folder)
    _write_confusion_csv(evaluation, folder / "confusion_matrix.csv")
    _write_predictions(evaluation, folder / "predictions.csv")
    pictures = _draw_pictures(findings, folder)
    write_page(findings, pictures, folder / "report.html")
    write_model_card(findings, folder / "MODEL_CARD.md")


def announce(findings: Findings) -> None:
    """Say the result, a leak loudly, and print the metric lines that the platform matches."""
    evaluation = findings.evaluation
    log.info("%s", headline_sentence(findings))
    log.log(logging.WARNING if evaluation.leaky else logging.INFO, "%s", leak_sentence(evaluation))
    print(Validation(**findings.info.metrics["validation"]).metric_line(), flush=True)
    if evaluation.channel == "test":
        print(f"{TEST_ACCURACY}={evaluation.accuracy:.6g};", flush=True)
        leak_free = evaluation.leak_free()
        if leak_free:
            print(f"{LEAK_FREE_ACCURACY}={leak_free.accuracy:.6g};", flush=True)


def write_history(training: Training, folder: Path) -> None:
    """Write `training_history.json` and `learning_curves.png` into `folder`."""
    history = {
        "ended": training.ended,
        "precision": asdict(training.precision),
        "kept_epochs": training.kept_epochs,
        "validation": asdict(training.validation),
        "members": [_loop(fitted) for fitted in training.members],
        "taught": training.taught and _loop(training.taught),
        "epochs": [asdict(epoch) for epoch in training.epochs],
    }
    (folder / "training_history.json").write_text(json.dumps(history, indent=2) + "\n")
    draw_learning_curves(training, folder / "learning_curves.png")


def _loop(fitted: Fit) -> dict[str, Any]:
    return {
        "first_epoch": fitted.epochs[0].epoch,
        "kept_epoch": fitted.kept.epoch,
        "ended": fitted.ended,
    }


def _draw_pictures(findings: Findings, folder: Path) -> dict[str, Path]:
    """Draw what can be drawn, the curves of the headline's scans; name -> PNG file."""
    _, part = findings.evaluation.headline()
    names = ["confusion_matrix", "reliability", "risk_coverage"]
    if len(set(part.labels.tolist())) > 1:
        names.append("roc_curves")
    if findings.robustness.conditions:
        names.append("robustness")
    pictures = {name: folder / f"{name}.png" for name in names}
    draw_confusion_matrix(findings.evaluation, pictures["confusion_matrix"])
    draw_reliability(part, pictures["reliability"])
    draw_risk_coverage(part, pictures["risk_coverage"])
    if "roc_curves" in pictures:
        draw_roc_curves(part, pictures["roc_curves"])
    if "robustness" in pictures:
        draw_robustness(findings.robustness, pictures["robustness"])
    return pictures


def _write_classification_report(evaluation: Evaluation, folder: Path) -> None:
    def report(as_dict: bool) -> Any:
        return metrics.classification_report(
            evaluation.labels,
            evaluation.predicted,
            labels=range(len(evaluation.class_names)),
            target_names=list(evaluation.class_names),
            zero_division=0,
            output_dict=as_dict,
        )

    (folder / "classification_report.txt").write_text(report(as_dict=False))
    text = json.dumps(report(as_dict=True), indent=2) + "\n"
    (folder / "classification_report.json").write_text(text)


def _write_confusion_csv(evaluation: Evaluation, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["label \\ predicted", *evaluation.class_names])
        for name, row in zip(evaluation.class_names, evaluation.confusion_matrix(), strict=True):
            writer.writerow([name, *map(int, row)])


def _write_predictions(evaluation: Evaluation, path: Path) -> None:
    names = evaluation.class_names
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "label", "predicted", "probability", *names])
        for row, probabilities in enumerate(evaluation.probabilities):
            predicted = int(evaluation.predicted[row])
            figures = [f"{probability:.6f}" for probability in probabilities]
            label = names[evaluation.labels[row]]
            writer.writerow(
                [evaluation.files[row], label, names[predicted], figures[predicted], *figures]
            )
