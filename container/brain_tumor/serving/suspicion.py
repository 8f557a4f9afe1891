"""Which slice of a volume a person should look at first."""

import re
from collections.abc import Sequence
from typing import Any

from brain_tumor.errors import ImageError
from brain_tumor.serving.classifier import Prediction

NO_TUMOUR = ("notumor", "notumour", "nontumor", "nontumour", "normal", "healthy", "negative", "no")
"""A class so named, whatever else than letters is between them, is that of scans without one."""


def most_suspicious(entries: Sequence[Prediction | ImageError]) -> dict[str, Any] | None:
    """Give the slice with the highest probability of any class of tumour, from 0, and that class.

    Slices that are `not_brain_mri` do not count: their probabilities mean nothing. Where no class
    is named as that without a tumour, every class counts.

    Returns:
        `{"slice", "label", "probability"}`, None where no slice counts.
    """
    suspicions = [
        (probability, number, label)
        for number, entry in enumerate(entries)
        if not isinstance(entry, ImageError) and entry.decision != "not_brain_mri"
        for label, probability in _tumours(entry.probabilities).items()
    ]
    if not suspicions:
        return None
    # Of equals the lowest slice.
    probability, number, label = max(suspicions, key=lambda found: (found[0], -found[1]))
    return {"slice": number, "label": label, "probability": probability}


def _tumours(probabilities: dict[str, float]) -> dict[str, float]:
    return {
        label: probability
        for label, probability in probabilities.items()
        if re.sub("[^a-z]", "", label.lower()) not in NO_TUMOUR
    }
