"""What must be the same: on all hosts of a job, and in a checkpoint that a job goes on from."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from brain_tumor.errors import DataError
from brain_tumor.training.cluster import Cluster


def require_the_same(cluster: Cluster, facts: Callable[[], Mapping[str, Any]]) -> None:
    """Make sure that training depends on the same facts on every host; all hosts call this.

    Args:
        cluster: the hosts; one that is alone is not asked.
        facts: gives name -> JSON value, or name -> mapping of such.

    Raises:
        DataError: a host has another value than the chief.
    """
    if cluster.size == 1:
        return
    chief, *others = cluster.hosts.names
    chiefs, *theirs = map(json.loads, cluster.from_each(lambda: json.dumps(facts()).encode()))
    for host, told in zip(others, theirs, strict=True):
        listed = differences(chiefs, told, f"on {chief}", f"on {host}")
        if listed:
            raise DataError(
                f"The hosts were not given the same: {listed}. Usual cause: a channel (model, "
                "pretrained) that one instance group is given and another is not, or instances "
                "that differ in their GPUs."
            )


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], of_first: str, of_second: str
) -> str:
    """Say which values differ, and where each is; empty where none does."""
    one, two = _flat(first), _flat(second)
    return "; ".join(
        f"{name} is {_shown(one.get(name))} {of_first} and {_shown(two.get(name))} {of_second}"
        for name in {**one, **two}
        if one.get(name) != two.get(name)
    )


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        inner = value.items() if isinstance(value, dict) else [(None, value)]
        flat.update({name if key is None else f"{name} {key}": each for key, each in inner})
    return flat


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"
