"""Metric definitions: which are refused, and what a line of the log gives."""

import json

import pytest

from local_test.emulator.errors import EmulatorError
from local_test.emulator.metrics import (
    MetricDefinition,
    beginnings,
    find_metrics,
    parse_definitions,
)


@pytest.mark.parametrize(
    ("definitions", "reason"),
    [
        ({"loss": "x"}, "no JSON list"),
        ([{"Name": "loss"}], "no JSON list"),
        ([{"Name": "loss", "Regex": "loss=("}], "regex of metric loss is none"),
        ([{"Name": "loss", "Regex": "loss=.*"}], "metric loss has no group"),
        ([{"Name": "n" * 256, "Regex": "(x)"}], "255 and 500"),
        ([{"Name": "n", "Regex": f"({'x' * 500})"}], "255 and 500"),
        ([{"Name": f"n{n}", "Regex": "(x)"} for n in range(41)], "41 metric definitions"),
    ],
)
def test_definitions_that_the_platform_would_refuse_are_refused(
    definitions: object, reason: str
) -> None:
    with pytest.raises(EmulatorError, match=reason):
        parse_definitions(json.dumps(definitions))


def test_the_first_group_of_every_match_is_the_number() -> None:
    definitions = parse_definitions('[{"Name": "loss", "Regex": "loss[=:] ?([0-9.e-]+)(;|$)"}]')
    assert definitions == (MetricDefinition("loss", "loss[=:] ?([0-9.e-]+)(;|$)"),)
    # As on the platform, a name that ends another one's is found in it.
    line = "loss=0.5; val_loss: 1e-05; loss=-;"
    assert list(find_metrics(definitions, line)) == [("loss", 0.5), ("loss", 1e-05), ("loss", None)]


@pytest.mark.parametrize("word", ["nan", "NaN", "inf", "-Infinity"])
def test_what_json_has_no_number_for_is_none(word: str) -> None:
    loss = MetricDefinition("loss", "loss=(.*?);")
    assert list(find_metrics([loss], f"loss={word};")) == [("loss", None)]


@pytest.mark.parametrize(
    ("regex", "lines", "before"),
    [
        ("loss=(.*?);", ["loss=0.5; val_loss=0.6;", "loss=0.4;"], ["", "val_"]),
        ("val_loss=(.*?);", ["loss=0.5; val_loss=0.6;"], [""]),
        # Its name in the log is another, but one alone.
        ("loss=(.*?);", ["epoch 1 train_loss=0.5;"], ["train_"]),
        (" loss=(.*?);", ["epoch 1 loss=0.5;", "epoch 2 loss=0.4;"], []),
        ("'loss': (.*?),", ["{'loss': 0.5,", "x'loss': 0.4,"], []),
        (".*loss=(.*?);", ["epoch 1 loss=0.5;", "a val_loss=0.4;"], [""]),
    ],
)
def test_a_name_that_another_one_ends_with_is_told_by_what_stands_before_it(
    regex: str, lines: list[str], before: list[str]
) -> None:
    assert beginnings(MetricDefinition("loss", regex), lines) == before
