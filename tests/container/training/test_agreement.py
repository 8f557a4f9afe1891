"""training.agreement: what differs between hosts, or between a job and a checkpoint, is named."""

from typing import Any

import pytest

from brain_tumor.errors import DataError
from brain_tumor.training.agreement import differences, require_the_same
from brain_tumor.training.cluster import ALONE, Cluster
from tests.hosts import meet

HOSTS = ("algo-1", "algo-2", "algo-3")
FACTS = {"hyperparameter": {"epochs": 4}, "former model": None, "number of GPUs": 0}


def _met(facts_of: dict[str, dict[str, Any]]) -> list[Any]:
    def call(cluster: Cluster) -> object:
        require_the_same(cluster, lambda: facts_of.get(cluster.hosts.current, FACTS))
        return "goes on"

    return meet(HOSTS, call)


def test_hosts_that_were_given_the_same_go_on() -> None:
    assert _met({}) == ["goes on"] * 3


@pytest.mark.parametrize(
    ("others", "difference"),
    [
        (
            {**FACTS, "former model": {"created": "2026"}},
            "former model created is None on algo-1 and 2026 on algo-3",
        ),
        (
            {**FACTS, "hyperparameter": {"epochs": 22}, "number of GPUs": 8},
            "hyperparameter epochs is 4 on algo-1 and 22 on algo-3; "
            "number of GPUs is 0 on algo-1 and 8 on algo-3",
        ),
    ],
)
def test_a_host_that_was_given_something_else_fails_all_with_its_name_and_both_values(
    others: dict[str, Any], difference: str
) -> None:
    for name, error in zip(HOSTS, _met({"algo-3": others}), strict=True):
        assert isinstance(error.__cause__, DataError)
        assert f"Host {name}: The hosts were not given the same: {difference}." in str(error)


def test_a_host_that_is_alone_is_not_asked() -> None:
    require_the_same(ALONE, pytest.fail)


def test_a_long_value_is_cut_and_equal_ones_are_left_out() -> None:
    digests = (
        {"scans": {"of train": "a" * 64, "of val": "c"}},
        {"scans": {"of train": "b" * 64, "of val": "c"}},
    )
    assert differences(*digests, "there", "here") == (
        "scans of train is aaaaaaaaaaaa… there and bbbbbbbbbbbb… here"
    )
