"""Metric definitions: which are refused, and what a line of the log gives."""

import json

import pytest

from local_test.emulator.errors import EmulatorError
from local_test.emulator.metrics import MetricDefinition, find_metrics, parse_definitions


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
