"""The strings that the platform gives a training job, read as hyperparameters."""

import difflib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from brain_tumor.errors import HyperparameterError
from brain_tumor.training.hyperparameter_schema import flat_schema, wanted
from brain_tumor.training.hyperparameters import Hyperparameters, dashed


def parse_hyperparameters(raw: Mapping[str, Any], continues: bool = False) -> Hyperparameters:
    """Read hyperparameters as the platform gives them.

    Values may be strings, encoded as JSON once, twice or not at all, or JSON values; a whole number
    may be written as a float, as tuners do (`3.2e1`); underscores and dashes are the same. What
    the platform and its SDKs add (`sagemaker_*`, `_tuning_objective_metric`) is ignored. Defaults
    that follow from the start are written out.

    Args:
        raw: name -> value.
        continues: training goes on from a former model, not from ImageNet's weights.

    Raises:
        HyperparameterError: an unknown name, or a value of the wrong kind or out of range.
    """
    given: dict[str, Any] = {}
    for name, value in raw.items():
        if name.startswith("sagemaker_") or name == "_tuning_objective_metric":
            continue
        key = dashed(name)
        if key in given:
            raise HyperparameterError(f"Hyperparameter {key!r} is given twice; give it once.")
        _require_known(name, key)
        given[key] = value
    decoded = {key: _decoded(value) for key, value in given.items()}
    try:
        # A null stands for a hyperparameter that was left out; Python writes it None.
        return Hyperparameters.model_validate(
            {key: value for key, value in decoded.items() if value not in (None, "None")},
            context={"continues": continues},
        ).settled()
    except ValidationError as error:
        raise _refusal(error, given) from error


def _decoded(value: Any) -> Any:
    """Read a string as JSON, as often as it was encoded; what is none is what it says."""
    while isinstance(value, str):
        try:
            value = json.loads(value)
        # RecursionError: thousands of brackets.
        except (ValueError, RecursionError):
            return value.strip()
    return value


def _refusal(error: ValidationError, given: Mapping[str, Any]) -> HyperparameterError:
    first = error.errors()[0]
    if not first["loc"]:
        contradiction = first["ctx"]["error"]
        key, reason = contradiction.key, f"{contradiction}."
    else:
        key = str(first["loc"][0])
        field = flat_schema(Hyperparameters)["properties"][key]
        reason = f"wanted {wanted(field)}"
        near = difflib.get_close_matches(str(given[key]), field.get("enum", []), n=1)
        reason += f"; did you mean {near[0]!r}?" if near else "."
    return HyperparameterError(f"Hyperparameter {key}={given.get(key)!r} cannot be used: {reason}")


def _require_known(name: str, key: str) -> None:
    known = [dashed(field) for field in Hyperparameters.model_fields]
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}."
        raise HyperparameterError(f"Unknown hyperparameter {name!r}; {hint}")
