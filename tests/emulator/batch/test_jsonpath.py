"""The paths of the developer guide's page on data processing, and what is none."""

from typing import Any

import pytest

from local_test.emulator.batch.jsonpath import Path
from local_test.emulator.errors import EmulatorError

_ROW = [10, 11, 12, 13, 14, 15]
_VALUE = {"id": 1, "a b": 2, "field": {"x": 3, "y": [4, 5]}, "SageMakerOutput": {"label": 6}}


@pytest.mark.parametrize(
    ("path", "value", "selected"),
    [
        ("$", _ROW, _ROW),
        ("$[1]", _ROW, 11),
        ("$[-1]", _ROW, 15),
        ("$[1,3,5]", _ROW, [11, 13, 15]),
        ("$[2:5]", _ROW, [12, 13, 14]),
        ("$[:2]", _ROW, [10, 11]),
        ("$[4:]", _ROW, [14, 15]),
        ("$[0,4:]", _ROW, [10, 14, 15]),
        ("$[-2:]", _ROW, [14, 15]),
        ("$.id", _VALUE, 1),
        ("$['a b']", _VALUE, 2),
        ("$['id','SageMakerOutput']", _VALUE, {"id": 1, "SageMakerOutput": {"label": 6}}),
        ("$.field.['x','y']", _VALUE, {"x": 3, "y": [4, 5]}),
        ("$.field.y[0]", _VALUE, 4),
        ("$.field.*", _VALUE, [3, [4, 5]]),
        ("$.field.y[*]", _VALUE, [4, 5]),
        ("$[*].id", [{"id": 1}, {"id": 2}], [1, 2]),
    ],
)
def test_a_path_selects_as_the_guide_says(path: str, value: Any, selected: Any) -> None:
    assert Path(path).select(value) == selected


@pytest.mark.parametrize(
    "path",
    ["", "id", "$id", "$..id", "$.a[?(@.b)]", "$[1:5:2]", "$[a]", "$.", "$['a", "$[]", "$.f(x)"],
)
def test_a_path_that_a_job_does_not_take_is_refused(path: str) -> None:
    with pytest.raises(EmulatorError, match=r"no JSONPath|no index"):
        Path(path)


def test_a_path_has_63_characters_at_most() -> None:
    Path("$." + "a" * 61)
    with pytest.raises(EmulatorError, match="64 characters: SageMaker takes 63"):
        Path("$." + "a" * 62)


@pytest.mark.parametrize(
    ("path", "value"),
    [("$[6]", _ROW), ("$.id", _ROW), ("$.none", _VALUE), ("$.id[0]", _VALUE), ("$[0]", "text")],
)
def test_a_part_that_is_not_there_is_an_error(path: str, value: Any) -> None:
    with pytest.raises(EmulatorError, match="selects nothing"):
        Path(path).select(value)
