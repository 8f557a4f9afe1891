"""What becomes of a rule whose evidence cannot be had."""

import threading
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.reports import Report, to_html, to_json, to_junit
from local_test.emulator.check.rule import NotTestedError, Outcome, Rule, once, passed
from local_test.emulator.check.serving import Serving
from local_test.emulator.check.suite import Evidence, Verdict, judge
from local_test.emulator.errors import EmulatorError


def _rule(identifier: str, error: Exception | None) -> Rule[Any]:
    def check(_evidence: object) -> Outcome:
        if error:
            raise error
        return passed("it is there")

    return Rule(identifier, "It is there.", "a page", "an endpoint", "Make it.", check)


_NOTHING = cast(Any, None)
_EVIDENCE = Evidence(_NOTHING, cast(Jobs, _NOTHING), cast(Serving, _NOTHING))


@pytest.fixture
def verdicts() -> list[Verdict]:
    rules = [
        _rule("TEST-01", NotTestedError("it is not asked for")),
        _rule("TEST-02", EmulatorError("the model cannot be unpacked")),
        _rule("TEST-03", ConnectionError("the engine went away")),
        _rule("TEST-04", KeyError("a fault of the rule's own")),
        _rule("TEST-05", None),
    ]
    return list(judge(rules, _EVIDENCE))


def test_a_signal_ends_the_check_though_a_lock_failed_on_the_way_out() -> None:
    def check(_evidence: object) -> Outcome:
        lock = threading.Lock()
        with lock:
            lock.release()
            raise SystemExit(143)

    rule: Rule[Any] = Rule("TEST-01", "It ends.", "a page", "an endpoint", "End it.", check)
    with pytest.raises(SystemExit) as left:
        list(judge([rule], _EVIDENCE))
    assert left.value.code == 143


def test_only_what_is_not_tested_does_not_apply_and_the_other_rules_go_on(
    verdicts: list[Verdict],
) -> None:
    states = [verdict.outcome.state for verdict in verdicts]
    assert states == ["N/A", "ERROR", "ERROR", "ERROR", "PASS"]
    assert "[EmulatorError: the model cannot be unpacked] (a page)" in verdicts[1].line


def test_an_error_makes_the_check_fail_and_stands_in_every_report(
    verdicts: list[Verdict],
) -> None:
    report = Report("image", verdicts, 1.0)
    assert report.failed
    assert not Report("image", [verdicts[0], verdicts[4]], 1.0).failed
    assert "1 passed, 0 failed, 1 not applicable, 3 could not be tested (ERROR)" in report.summary()
    suite = ElementTree.fromstring(to_junit(report))  # noqa: S314 - our own
    assert (suite.get("failures"), suite.get("errors")) == ("0", "3")
    assert len(list(suite.iter("error"))) == 3
    assert all("Source: a page" in "".join(case.itertext()) for case in suite.iter("testcase"))
    assert to_html(report).index("TEST-02") < to_html(report).index("TEST-01")
    assert '"state": "ERROR"' in to_json(report)


def test_what_failed_once_fails_again_with_the_same_error() -> None:
    class Things:
        calls = 0

        @once
        def thing(self) -> None:
            self.calls += 1
            raise OSError("no space left")

    things = Things()
    for _ in range(2):
        with pytest.raises(OSError, match="no space left"):
            things.thing()
    assert things.calls == 1
