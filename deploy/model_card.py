"""A model card in SageMaker's JSON form, of the reports that training writes.

The form is that of model packages (AWS's guide, "Model package model card schema"): texts of at
most 2,048 characters, so MODEL_CARD.md itself lies in the bucket, and the card tells where.
"""

import re
from typing import Any

_LONGEST = 2048
_NAME = 63


def make(card: str, evaluation: dict[str, Any], model: str, card_uri: str) -> dict[str, Any]:
    """Make the card's content.

    Args:
        card: the text of MODEL_CARD.md.
        evaluation: evaluation.json.
        model: S3 URI of model.tar.gz.
        card_uri: S3 URI of MODEL_CARD.md.
    """
    return {
        "model_overview": {"model_artifact": [model]},
        "intended_uses": {
            "purpose_of_model": _section(card, "What it is for"),
            "intended_uses": _first_paragraph(card),
            "risk_rating": "High",
            "explanations_for_risk_rating": "A wrong answer about a brain tumour can do harm.",
        },
        "evaluation_details": [_evaluation(evaluation)],
        "additional_information": {
            "caveats_and_recommendations": _section(card, "Warnings"),
            "ethical_considerations": _section(card, "Where the public data come from"),
            "custom_details": {"model card": card_uri},
        },
    }


def _evaluation(evaluation: dict[str, Any]) -> dict[str, Any]:
    metrics = evaluation["multiclass_classification_metrics"]
    figures = [
        {"name": name, "type": "number", **_figure(figure)}
        for name, figure in metrics.items()
        if isinstance(figure, dict) and isinstance(figure.get("value"), int | float)
    ]
    dataset = evaluation["dataset"]
    return {
        "name": "test",
        "evaluation_observation": (
            f"{dataset['item_count']} scans of the channel {dataset['channel']}; intervals by "
            f"{evaluation['intervals']['method']}."
        )[:_LONGEST],
        "metric_groups": [
            {"name": "on all scans", "metric_data": figures},
            {"name": "confusion", "metric_data": [_confusion(metrics["confusion_matrix"])]},
        ],
    }


def _figure(figure: dict[str, Any]) -> dict[str, Any]:
    interval = figure.get("confidence_interval")
    if not interval:
        return {"value": figure["value"]}
    share = 100 * interval["level"]
    notes = f"{share:g} % interval: {interval['lower']:.4f} to {interval['upper']:.4f}"
    return {"value": figure["value"], "notes": notes}


def _confusion(matrix: dict[str, dict[str, int]]) -> dict[str, Any]:
    names = [name[:_NAME] for name in matrix]
    return {
        "name": "confusion matrix",
        "type": "matrix",
        "notes": "A row is a labelled class, a column an answered one.",
        "value": [list(row.values()) for row in matrix.values()],
        "x_axis_name": names,
        "y_axis_name": names,
    }


def _section(card: str, title: str) -> str:
    """Give the text below a heading; the end of a long one is left out."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", card, re.M | re.S)
    return _shorten(found[1] if found else "")


def _first_paragraph(card: str) -> str:
    return _shorten(card.split("\n\n")[1])


def _shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2].rsplit("\n", 1)[0] + "\n…"
