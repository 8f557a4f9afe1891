"""serving.suspicion: which slice of a volume to look at first."""

import pytest

from brain_tumor.errors import ImageError
from brain_tumor.serving.classifier import Decision, Prediction
from brain_tumor.serving.suspicion import most_suspicious


def _slice(decision: Decision = "confident", **probabilities: float) -> Prediction:
    label = max(probabilities, key=probabilities.__getitem__)
    return Prediction(label, probabilities[label], probabilities, decision)


def test_the_slice_with_the_highest_probability_of_any_tumour_is_named() -> None:
    slices = [
        _slice(glioma=0.1, notumor=0.9),
        _slice(glioma=0.3, notumor=0.7),
        _slice(glioma=0.2, notumor=0.8),
    ]
    assert most_suspicious(slices) == {"slice": 1, "label": "glioma", "probability": 0.3}


@pytest.mark.parametrize(
    "name", ["notumor", "no_tumor", "No tumour", "Normal", "healthy", "non-tumor"]
)
def test_the_class_without_a_tumour_is_known_by_its_name(name: str) -> None:
    suspicious = most_suspicious([_slice("confident", **{name: 0.9, "pituitary": 0.1})])
    assert suspicious == {"slice": 0, "label": "pituitary", "probability": 0.1}


def test_without_such_a_class_every_class_counts() -> None:
    suspicious = most_suspicious([_slice(low=0.4, high=0.6), _slice(low=0.7, high=0.3)])
    assert suspicious == {"slice": 1, "label": "low", "probability": 0.7}


def test_what_is_no_brain_mri_or_could_not_be_read_does_not_count() -> None:
    foreign = _slice("not_brain_mri", glioma=0.99, notumor=0.01)
    unsure = _slice("uncertain", glioma=0.4, notumor=0.6)
    broken = ImageError("A damaged frame.")
    suspicious = most_suspicious([foreign, broken, unsure])
    assert suspicious == {"slice": 2, "label": "glioma", "probability": 0.4}
    assert most_suspicious([foreign, broken]) is None


def test_of_equals_the_lowest_slice_is_named() -> None:
    slices = [_slice(glioma=0.5, notumor=0.5)] * 3
    suspicious = most_suspicious(slices)
    assert suspicious is not None
    assert suspicious["slice"] == 0
