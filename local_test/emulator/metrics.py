"""Metric definitions, matched against the log as CloudWatch does: the first group is the number."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from local_test.emulator.errors import EmulatorError

# (API shape AlgorithmSpecification)
MAX_DEFINITIONS = 40
MAX_NAME = 255
MAX_REGEX = 500


@dataclass(frozen=True)
class MetricDefinition:
    """One entry of MetricDefinitions."""

    name: str
    regex: str


def parse_definitions(text: str) -> tuple[MetricDefinition, ...]:
    """Read a JSON list of `{"Name": …, "Regex": …}`.

    Raises:
        EmulatorError: It is no such list, or one that CreateTrainingJob would refuse.
    """
    try:
        definitions = tuple(MetricDefinition(e["Name"], e["Regex"]) for e in json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise EmulatorError(
            f"The metric definitions are no JSON list of {{'Name', 'Regex'}}: {error!r}"
        ) from error
    if len(definitions) > MAX_DEFINITIONS:
        raise EmulatorError(
            f"{len(definitions)} metric definitions: SageMaker takes {MAX_DEFINITIONS} at most."
        )
    for definition in definitions:
        _check(definition)
    return definitions


def _check(definition: MetricDefinition) -> None:
    name, regex = definition.name, definition.regex
    if len(name) > MAX_NAME or len(regex) > MAX_REGEX:
        raise EmulatorError(
            f"The metric {name[:40]} has {len(name)} characters in its name and {len(regex)} in "
            f"its regex: SageMaker takes {MAX_NAME} and {MAX_REGEX} at most."
        )
    try:
        groups = re.compile(regex).groups
    except re.error as error:
        raise EmulatorError(f"The regex of metric {name} is none: {error}: {regex}") from error
    if not groups:
        raise EmulatorError(f"The regex of metric {name} has no group for the number: {regex}")


def find_metrics(
    definitions: Sequence[MetricDefinition], line: str
) -> Iterator[tuple[str, float | None]]:
    """Give the name and number of each match in a line; None where the group is no number."""
    for definition in definitions:
        for match in re.finditer(definition.regex, line):
            try:
                yield definition.name, float(match[1])
            except (TypeError, ValueError):
                yield definition.name, None
