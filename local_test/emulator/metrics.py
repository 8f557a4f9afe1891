"""Metric definitions, matched against the log as CloudWatch does: the first group is the number."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
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
    """Give the name and number of each match in a line; None where the group is no number.

    What the platform makes of NaN is not documented; JSON has none.
    """
    for definition in definitions:
        for match in re.finditer(definition.regex, line):
            yield definition.name, _number(match[1])


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def beginnings(definition: MetricDefinition, lines: Iterable[str]) -> list[str]:
    """Return what stands in the log before matches, of the word in which they begin.

    That is "" and "val_" for `loss=` in `loss=0.5; val_loss=0.6;`.
    """
    matches = ((line, m.start()) for line in lines for m in re.finditer(definition.regex, line))
    # A match that begins with a space or a quote is in no word.
    words = ((line, at) for line, at in matches if re.match(r"\w", line[at:]))
    return sorted({re.split(r"\W", line[:at])[-1] for line, at in words})
