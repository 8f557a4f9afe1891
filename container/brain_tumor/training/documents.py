"""The page and the model card: the findings, written for people."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from brain_tumor.artifact import CLEAR
from brain_tumor.pages import pixels_uri, png_uri, templates_of
from brain_tumor.training.abstention import most_confident_first
from brain_tumor.training.bootstrap import RESAMPLES, Estimate
from brain_tumor.training.calibration import CALIBRATION_BINS
from brain_tumor.training.cautions import GENERAL, IMAGENET, PUBLIC_DATA, STOPPED
from brain_tumor.training.evaluation import SET_NAMES, Evaluation
from brain_tumor.training.figures import Figures
from brain_tumor.training.metrics import ASKED_TO_STOP
from brain_tumor.training.per_class import PREVALENCES
from brain_tumor.training.quality import Findings
from brain_tumor.training.summary import headline_sentence, leak_sentence, percent, with_interval

_MOST_ERRORS = 12
_NO_BREAK = "\N{NO-BREAK SPACE}"

_ROWS: dict[str, Callable[[Figures], str]] = {
    "Scans": lambda figures: str(figures.scans),
    "Near-duplicate groups": lambda figures: str(figures.groups),
    "Accuracy": lambda figures: with_interval(figures.accuracy),
    "Balanced accuracy": lambda figures: with_interval(figures.balanced_accuracy),
    "Macro-F1": lambda figures: with_interval(figures.macro_f1),
    "Lowest sensitivity": lambda figures: _named_share(*figures.worst_sensitivity),
    "Macro ROC-AUC": lambda figures: decimals(figures.macro_roc_auc),
    "Any tumour: ROC-AUC": lambda figures: decimals(
        figures.tumour.roc_auc if figures.tumour else None
    ),
    "Any tumour: sensitivity": lambda figures: percent(
        figures.tumour.sensitivity if figures.tumour else None
    ),
    "Calibration error (ECE)": lambda figures: _decimals_with_interval(figures.ece),
    "Brier score (0 to 2)": lambda figures: decimals(figures.brier),
    "Log loss": lambda figures: decimals(figures.log_loss),
    "Accuracy of the surest 80 %": lambda figures: with_interval(figures.accuracy_at_80),
    "Accuracy of the surest 60 %": lambda figures: percent(figures.accuracy_at_60),
    "Area under risk-coverage": lambda figures: decimals(figures.aurc),
    "Answered uncertain": lambda figures: percent(1 - figures.confident_share),
    "Accuracy of the others": lambda figures: percent(figures.confident_accuracy),
}


@dataclass(frozen=True)
class Error:
    """A wrong answer, to look at."""

    file: str
    label: str
    predicted: str
    probability: float
    picture: str
    """A data: URI."""


def write_page(findings: Findings, pictures: dict[str, Path], path: Path) -> None:
    """Write report.html, with all pictures inside it.

    Args:
        findings: what the page says.
        pictures: name -> PNG file, of those that could be drawn.
        path: the file to write.
    """
    uris = {name: png_uri(file.read_bytes()) for name, file in pictures.items()}
    _, part = findings.evaluation.headline()
    page = _environment().get_template("report.html")
    path.write_text(
        page.render(**_content(findings), pictures=uris, errors=worst_errors(part)),
    )


def write_model_card(findings: Findings, path: Path) -> None:
    """Write MODEL_CARD.md."""
    path.write_text(_environment().get_template("MODEL_CARD.md").render(**_content(findings)))


def worst_errors(evaluation: Evaluation) -> list[Error]:
    """Return the wrong answers with the highest probabilities, at most twelve."""
    order = most_confident_first(evaluation.correct, evaluation.confidence)
    wrong = order[~evaluation.correct[order]][:_MOST_ERRORS]
    names = evaluation.class_names
    return [
        Error(
            file=evaluation.files[row],
            label=names[evaluation.labels[row]],
            predicted=names[evaluation.predicted[row]],
            probability=float(evaluation.confidence[row]),
            picture=pixels_uri(evaluation.pixels[row]),
        )
        for row in wrong
    ]


def decimals(value: float | None) -> str:
    """Write a number with three decimals; a dash where there is none."""
    return percent(None) if value is None else f"{value:.3f}"


def points(difference: Estimate) -> str:
    """Write a difference of two shares in percentage points, with its interval."""
    interval = difference.confidence_interval
    value = f"{100 * difference.value:+.1f}"
    if interval is None:
        return value
    return f"{value} ({100 * interval.lower:+.1f} to {100 * interval.upper:+.1f})"


def _content(findings: Findings) -> dict[str, Any]:
    """What both documents are filled with."""
    evaluation = findings.evaluation
    matrix = evaluation.headline()[1].confusion_matrix()
    pretrained = bool(findings.info.hyperparameters.get("pretrained"))
    stopped = findings.info.metrics.get("ended") == ASKED_TO_STOP
    return {
        "evaluation": evaluation,
        "info": findings.info,
        "headline": findings.headline,
        "headline_sentence": _unbroken(headline_sentence(findings)),
        "leak_sentence": _unbroken(leak_sentence(evaluation)),
        "majority": float(matrix.sum(axis=1).max() / matrix.sum()),
        "sets": list(findings.figures),
        "set_names": SET_NAMES,
        "quoted": evaluation.headline()[0],
        "rows": [
            (label, {name: _cell(figures, write) for name, figures in findings.figures.items()})
            for label, write in _ROWS.items()
        ],
        "prevalences": PREVALENCES,
        "bins": CALIBRATION_BINS,
        "clear": CLEAR,
        "resamples": RESAMPLES,
        "robustness": findings.robustness,
        "foreign": findings.foreign,
        "pretrained": pretrained,
        "cautions": [
            *GENERAL,
            *([IMAGENET] if pretrained else []),
            *([STOPPED] if stopped else []),
        ],
        "public_cautions": PUBLIC_DATA,
    }


def _unbroken(text: str) -> str:
    """Keep a line from breaking between a number and its sign."""
    return text.replace(" %", f"{_NO_BREAK}%")


def _decimals_with_interval(estimate: Estimate) -> str:
    interval = estimate.confidence_interval
    value = decimals(estimate.value)
    return f"{value} ({interval.lower:.3f} to {interval.upper:.3f})" if interval else value


def _named_share(name: str, share: float) -> str:
    return f"{percent(share)} ({name})"


def _cell(figures: Figures | None, write: Callable[[Figures], str]) -> str:
    return "no scan" if figures is None else write(figures)


def _environment() -> jinja2.Environment:
    environment = templates_of("brain_tumor.training")
    environment.filters |= {
        "percent": lambda share: _unbroken(percent(share)),
        "whole_percent": lambda share: f"{100 * share:.0f}{_NO_BREAK}%",
        "interval": with_interval,
        "decimals": decimals,
        "points": points,
    }
    return environment
