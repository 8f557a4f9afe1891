"""Each rule finds its fault, and no rule finds one where there is none."""

from collections.abc import Mapping

import pytest

from local_test.emulator.check.rule import Rule
from local_test.emulator.check.suite import ALL, Verdict
from tests.emulator.check.conftest import Case, CheckAll, ids, of_state
from tests.emulator.check.faults import COMMANDS, FIELDS, FILES, IMAGES

_TRAINING = {rule.id for rule in ALL if rule.needs == "a training job"}
_TRAIN, _SERVE = ("TRAIN-*",), ("SERVE*", "BATCH-*", "MULTI-*")
_SHORT = {"total": 5.0, "shortest": 1.0}
# TRAIN-18 cannot tell of shorter ones.
_LONG = 22
# What breaks no rule, or more than one.
_OTHERS = {
    "": Case("", (*_TRAIN, *_SERVE), epochs=_LONG),
    "exit code 1": Case("ends with 1 when stopped", _TRAIN),
    "ends early": Case("ends before it is stopped", _TRAIN),
    "fails early": Case("trains for a short time alone", ("TRAIN-01", "TRAIN-2[1-4]")),
    "no time to train": Case("is slow", _TRAIN, limits=_SHORT),
    "no time to serve": Case("loads for ever", ("SERVE-01",), limits=_SHORT),
    "no time to answer": Case("answers slowly", ("SERVE-08",), limits=_SHORT),
    "no health": Case("is healthy twice and never again", ("SERVE-04",)),
    "no answer": Case("fails at all bodies", ("SERVE-07", "SERVE-08"), payload=None),
    "no type": Case("wants another type", ("SERVE-07",), payload=None),
    "a guess": Case("", ("SERVE-07",), payload=None),
}

Checked = Mapping[str, list[Verdict]]


@pytest.fixture(scope="module")
def checked(check_all: CheckAll) -> Checked:
    """Check each fault with the rules of its side: `train` and `serve` share no code."""
    cases = dict(_OTHERS)
    for fault, rule in COMMANDS.items():
        epochs = _LONG if rule == "TRAIN-18" else 5
        cases[fault] = Case(fault, _TRAIN if rule in _TRAINING else _SERVE, epochs)
    longest_first = sorted(cases.items(), key=lambda item: -item[1].epochs)
    return check_all(dict(longest_first))


@pytest.mark.parametrize("fault", COMMANDS)
def test_exactly_the_rule_that_a_fault_breaks_fails(checked: Checked, fault: str) -> None:
    failed = of_state("FAIL", checked[fault])
    assert ids(failed) == [COMMANDS[fault]], failed


def test_every_rule_has_a_fault_on_which_it_alone_fails() -> None:
    files, fields = [rule for rule, _, _ in FILES], [rule for rule, _ in FIELDS]
    images = [rule for rule, _ in IMAGES.values()]
    assert {*COMMANDS.values(), *images, *files, *fields} == {rule.id for rule in ALL}


def test_a_command_without_a_fault_passes_every_rule_that_needs_no_docker(
    checked: Checked,
) -> None:
    assert of_state("FAIL", checked[""]) == []
    assert set(ids(of_state("PASS", checked[""]))) >= set(COMMANDS.values())


def test_a_job_that_ends_with_another_code_when_it_is_stopped_has_ended_by_itself(
    checked: Checked,
) -> None:
    assert of_state("FAIL", checked["exit code 1"]) == []
    assert "TRAIN-21" in ids(of_state("PASS", checked["exit code 1"]))


def test_what_sigterm_does_is_not_judged_where_none_was_sent(checked: Checked) -> None:
    lines = of_state("N/A", checked["ends early"])
    told = [line for line in lines if "no SIGTERM was sent: the job ended before" in line]
    assert ids(told) == ["TRAIN-21", "TRAIN-22"]


def test_a_job_that_fails_only_with_long_is_an_error_not_a_rule_that_does_not_apply(
    checked: Checked,
) -> None:
    lines = of_state("ERROR", checked["fails early"])
    assert ids(lines) == ["TRAIN-21", "TRAIN-22", "TRAIN-23", "TRAIN-24"]
    assert "too many epochs" in lines[0]


def test_what_was_seen_in_less_than_its_time_proves_nothing(checked: Checked) -> None:
    for name in ("no time to train", "no time to serve", "no time to answer"):
        assert "s had passed" in checked[name][0].outcome.seen
        assert ids(of_state("N/A", checked[name])) == [v.rule.id for v in checked[name]]


def test_a_ping_that_is_not_200_is_no_ping_with_an_empty_body(checked: Checked) -> None:
    assert ids(of_state("FAIL", checked["no health"])) == ["SERVE-04"]


def test_a_server_that_answers_no_body_but_with_5xx_fails_without_a_payload(
    checked: Checked,
) -> None:
    assert ids(of_state("FAIL", checked["no answer"])) == ["SERVE-07"]
    assert ids(of_state("N/A", checked["no answer"])) == ["SERVE-08"]


def test_a_server_that_refuses_all_guesses_as_the_callers_fault_is_not_judged(
    checked: Checked,
) -> None:
    assert ids(of_state("N/A", checked["no type"])) == ["SERVE-07"]
    assert ids(of_state("PASS", checked["a guess"])) == ["SERVE-07"]


def test_what_is_seen_and_why_it_matters_are_told_in_sentences(checked: Checked) -> None:
    for verdicts in checked.values():
        assert all(verdict.outcome.seen for verdict in verdicts)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: str(rule.id))
def test_a_rule_names_its_source_and_how_to_mend_what_it_finds(rule: Rule[object]) -> None:
    assert rule.source
    assert rule.title.endswith(".")
    assert rule.why.count(".") >= 2


def test_ids_are_used_once() -> None:
    assert len({rule.id for rule in ALL}) == len(ALL)
