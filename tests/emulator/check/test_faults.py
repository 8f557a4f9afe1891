"""Each rule finds its fault, and no rule finds one where there is none."""

import pytest

from local_test.emulator.check.rule import Rule
from local_test.emulator.check.suite import ALL, Verdict
from tests.emulator.check.conftest import CheckAll

# The stub's fault, and the one rule that it breaks.
FAULTS = {
    "cannot train": "TRAIN-01",
    "saves no model": "TRAIN-02",
    "leaves a link": "TRAIN-03",
    "needs hyperparameters": "TRAIN-05",
    "refuses the SDK's keys": "TRAIN-06",
    "refuses the tuner's key": "TRAIN-07",
    "takes quotes for text": "TRAIN-08",
    "reads all config files": "TRAIN-09",
    "takes code for data": "TRAIN-10",
    "needs every folder": "TRAIN-11",
    "writes beside its data": "TRAIN-13",
    "fails with exit code 0": "TRAIN-15",
    "writes no failure file": "TRAIN-16",
    "begins with the traceback": "TRAIN-17",
    "holds its log back": "TRAIN-18",
    "draws bars": "TRAIN-19",
    "prints no metric": "TRAIN-20",
    "ends with 1 when stopped": "TRAIN-21",
    "saves nothing when stopped": "TRAIN-22",
    "keeps no checkpoint": "TRAIN-23",
    "begins anew": "TRAIN-24",
    "cannot serve": "SERVE-01",
    "listens on localhost": "SERVE-03",
    "talks in its ping": "SERVE-04",
    "knows GET alone": "SERVE-05",
    "pings behind predictions": "SERVE-06",
    "answers with 500": "SERVE-07",
    "names no type": "SERVE-08",
    "refuses Accept */*": "SERVE-09",
    "refuses headers": "SERVE-10",
    "reads no chunks": "SERVE-11",
    "mixes requests up": "SERVE-12",
    "closes connections": "SERVE-13",
    "fails at unknown types": "SERVE-14",
    "fails at broken bodies": "SERVE-15",
    "fails at empty bodies": "SERVE-16",
    "sends tracebacks": "SERVE-17",
    "refuses 25 MB": "SERVE-18",
    "has other metrics": "SERVE-19",
    "tells too much for batches": "BATCH-01",
    "fails in batches": "BATCH-02",
    "lists no models": "MULTI-01",
    "loads twice": "MULTI-02",
    "knows no 404 for models": "MULTI-03",
    "describes every model": "MULTI-04",
    "unloads what is not there": "MULTI-05",
    "writes to the model": "SERVE-20",
    "prints nothing": "SERVE-21",
    "healthy with a broken model": "SERVE-22",
    "ignores SIGTERM": "SERVE-24",
}
# More than one way to break a rule.
MORE = {"ignores SIGTERM in training": "TRAIN-21"}
_ALL = {**FAULTS, **MORE}
_TRAINING = {rule.id for rule in ALL if rule.needs == "a training job"}
_TRAIN, _SERVE = ("TRAIN-*",), ("SERVE*", "BATCH-*", "MULTI-*")


@pytest.fixture(scope="module")
def checked(check_all: CheckAll) -> dict[str, list[Verdict]]:
    """Check each fault with the rules of its side: `train` and `serve` share no code."""
    sides = {fault: _TRAIN if rule in _TRAINING else _SERVE for fault, rule in _ALL.items()}
    return check_all({"": (*_TRAIN, *_SERVE), **sides})


def _of(state: str, verdicts: list[Verdict]) -> list[str]:
    return [verdict.line for verdict in verdicts if verdict.outcome.state == state]


@pytest.mark.parametrize("fault", _ALL)
def test_exactly_the_rule_that_a_fault_breaks_fails(
    checked: dict[str, list[Verdict]], fault: str
) -> None:
    failed = _of("FAIL", checked[fault])
    assert [line.split()[1] for line in failed] == [_ALL[fault]], failed


def test_a_command_without_a_fault_passes_every_rule_that_needs_no_docker(
    checked: dict[str, list[Verdict]],
) -> None:
    assert _of("FAIL", checked[""]) == []
    passed = {line.split()[1] for line in _of("PASS", checked[""])}
    assert passed >= set(FAULTS.values())


def test_what_is_seen_and_why_it_matters_are_told_in_sentences(
    checked: dict[str, list[Verdict]],
) -> None:
    for verdicts in checked.values():
        assert all(verdict.outcome.seen for verdict in verdicts)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: str(rule.id))
def test_a_rule_names_its_source_and_how_to_mend_what_it_finds(rule: Rule[object]) -> None:
    assert rule.source
    assert rule.title.endswith(".")
    assert rule.why.count(".") >= 2


def test_ids_are_used_once() -> None:
    assert len({rule.id for rule in ALL}) == len(ALL)
