"""What a hyperparameter may be, read off its JSON schema: for messages, people and tuning jobs."""

from typing import Any

from pydantic import BaseModel

Property = dict[str, Any]
"""One hyperparameter: `type`, `default`, `description`, its bounds or `enum`, and `tuning`."""

_KINDS = {"integer": "a whole number", "number": "a number"}


def tuning(scaling: str, low: float, high: float) -> Property:
    """Describe the range in which a tuning job may well search, in SageMaker's own words.

    It is narrower than what is allowed, so that few trials are wasted.
    """
    return {
        "tuning": {"MinValue": f"{low:g}", "MaxValue": f"{high:g}", "ScalingType": scaling},
    }


def choices(*values: str) -> Property:
    """Describe the values among which a tuning job may well choose."""
    return {"tuning": {"Values": list(values)}}


def flat_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON schema, its properties plain: each may be left out, so null is none."""
    schema = model.model_json_schema()
    schema["properties"] = {name: _flat(field) for name, field in schema["properties"].items()}
    return schema


def _flat(field: Property) -> Property:
    kinds = [kind for kind in field.get("anyOf", []) if kind != {"type": "null"}]
    rest = {key: value for key, value in field.items() if key not in ("anyOf", "title")}
    return {**(kinds[0] if kinds else {}), **rest}


def wanted(field: Property) -> str:
    """Say what a value must be, as in "a number above 0 and at most 1"."""
    if "enum" in field:
        return f"one of {', '.join(field['enum'])}"
    if field["type"] == "boolean":
        return "true or false"
    return f"{_KINDS[field['type']]} {_bounds(field)}"


def _bounds(field: Property) -> str:
    if "minimum" in field and "maximum" in field:
        return f"from {_number(field['minimum'])} to {_number(field['maximum'])}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(
        f"{word} {_number(field[key])}" for key, word in words.items() if key in field
    )


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"
