"""The subset of JSONPath that Batch Transform takes, with the results of json-path, which it names.

$, .name, *, ['name', 'name'], [0, -1], [1:3]. A path without wildcard, list or slice gives a value;
several names give an object with these; all else a list. Libraries for Python follow RFC 9535, by
which ['a','b'] gives two values and a missing name none: here it is an error, as it is in a job.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from local_test.emulator.errors import EmulatorError

# (API shape JsonPath)
MAX_LENGTH = 63
_STEP = re.compile(
    r"""\.?\[\s*(?P<names>'[^']*'(?:\s*,\s*'[^']*')*)\s*\]   # ['a'] or ['a', 'b']
      | \.?\[(?P<items>[-\d:,\s]+)\]                         # [0], [0, 2], [1:], [0, 5:]
      | (?P<all>\.\*|\.?\[\*\])
      | \.(?P<name>[^.\[\]*\s'"()?@]+)""",
    re.VERBOSE,
)
_Step = Callable[[Any], list[Any]]


class Path:
    """A path that can be applied to values.

    Raises:
        EmulatorError: It is none of those that a job takes.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_LENGTH:
            raise EmulatorError(f"{text} has {len(text)} characters: SageMaker takes {MAX_LENGTH}.")
        self._steps = list(_parsed(text))

    def select(self, value: Any) -> Any:
        """Return what the path selects of a value.

        Raises:
            EmulatorError: The value has no such part.
        """
        found = [value]
        try:
            for step, _ in self._steps:
                found = [part for one in found for part in step(one)]
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EmulatorError(f"{self.text} selects nothing: {error!r}.") from error
        return found[0] if all(single for _, single in self._steps) else found


def _parsed(text: str) -> Iterator[tuple[_Step, bool]]:
    """Give the steps, and whether each gives one value."""
    position = 1
    while text.startswith("$") and position < len(text):
        if not (match := _STEP.match(text, position)):
            break
        position = match.end()
        yield _step(match, text)
    else:
        if text.startswith("$"):
            return
    raise EmulatorError(
        f"{text!r} is no JSONPath that Batch Transform takes: it begins with $, and then comes "
        ".name, .*, ['name','name'], [0,-1] or [1:3]."
    )


def _step(match: re.Match[str], text: str) -> tuple[_Step, bool]:
    if match["name"]:
        return _names([match["name"]]), True
    if match["names"]:
        return _names(re.findall(r"'([^']*)'", match["names"])), True
    if match["all"]:
        return _every, False
    items = [item.strip() for item in match["items"].split(",")]
    if not all(re.fullmatch(r"-?\d+|-?\d*:(-?\d+)?", item) for item in items):
        raise EmulatorError(f"{text!r}: [{match['items']}] is no index, list or slice.")
    return _items(items), len(items) == 1 and ":" not in items[0]


def _names(names: list[str]) -> _Step:
    if len(names) == 1:
        return lambda value: [_object(value)[names[0]]]
    return lambda value: [{name: _object(value)[name] for name in names}]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} has no names")
    return value


def _every(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else _list(value)


def _items(items: list[str]) -> _Step:
    def select(value: Any) -> list[Any]:
        found = []
        for item in items:
            first, colon, last = item.partition(":")
            if colon:
                found += _list(value)[int(first) if first else None : int(last) if last else None]
            else:
                found.append(_list(value)[int(first)])
        return found

    return select


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} has no items")
    return value
