"""The reports of a check, for machines (JUnit XML, JSON) and for people (HTML)."""

import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from local_test.emulator.check.suite import Verdict

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #1b1b1b; background: #fff; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border-bottom: 1px solid #d5d5d5; padding: .45rem .6rem; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }}
td:nth-child(-n+2) {{ white-space: nowrap; overflow-wrap: normal; }}
.state {{ font-weight: 600; }}
.FAIL .state, .ERROR .state {{ color: #a40000; }} .PASS .state {{ color: #00611c; }}
.NA {{ color: #5a5a5a; }}
.seen {{ font-family: ui-monospace, monospace; font-size: .85em; }}
.why {{ margin-top: .3rem; }} .source {{ color: #5a5a5a; font-size: .85em; }}
</style></head><body>
<h1>{title}</h1><p>{summary}</p>
<table><thead><tr><th>Result</th><th>Rule</th><th>What is demanded and was seen</th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""
_ROW = """<tr class="{css}"><td class="state">{state}</td><td>{id}</td><td>{title}
<div class="seen">{seen}</div>{why}<div class="source">{source}</div></td></tr>"""
# Of JUnit XML.
_ELEMENTS = {"FAIL": "failure", "ERROR": "error", "N/A": "skipped", "PASS": "system-out"}


@dataclass(frozen=True)
class Report:
    """What came of a check.

    Attributes:
        subject: The image, or the commands.
        verdicts: By rule.
        seconds: How long it took.
        notes: What was other than on the platform, such as a shorter limit.
    """

    subject: str
    verdicts: Sequence[Verdict]
    seconds: float
    notes: Sequence[str] = ()

    @property
    def failed(self) -> bool:
        """Whether a rule failed, or could not be tested for a fault beside the image."""
        return any(verdict.outcome.state in {"FAIL", "ERROR"} for verdict in self.verdicts)

    def summary(self) -> str:
        """Say it in a sentence."""
        counts = Counter(verdict.outcome.state for verdict in self.verdicts)
        told = f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['N/A']} not applicable"
        if errors := counts["ERROR"]:
            told += f", {errors} could not be tested (ERROR)"
        return " ".join([f"{told}, in {self.seconds:.0f} s.", *self.notes])


def to_junit(report: Report) -> str:
    """Return JUnit XML: a test case a rule, with the group of its id as the class."""
    counts = Counter(verdict.outcome.state for verdict in report.verdicts)
    suite = ElementTree.Element(
        "testsuite",
        name=report.subject,
        tests=str(len(report.verdicts)),
        failures=str(counts["FAIL"]),
        errors=str(counts["ERROR"]),
        skipped=str(counts["N/A"]),
        time=f"{report.seconds:.1f}",
    )
    for verdict in report.verdicts:
        rule, outcome = verdict.rule, verdict.outcome
        name = f"{rule.id} {rule.title}"
        case = ElementTree.SubElement(suite, "testcase", classname=rule.id.split("-")[0], name=name)
        seen = _printable(outcome.seen)
        told = ElementTree.SubElement(case, _ELEMENTS[outcome.state])
        if outcome.state != "PASS":
            told.set("message", seen)
        why = [rule.why] if outcome.state == "FAIL" else []
        told.text = "\n".join([seen, *why, f"Source: {rule.source}"])
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _printable(text: str) -> str:
    """Leave out what XML cannot hold: a log may have anything."""
    return "".join(c for c in text if c in "\t\n" or (c.isprintable() and c <= "\ufffd"))


def to_json(report: Report) -> str:
    """Return all as JSON."""
    rules = [
        {
            "id": verdict.rule.id,
            "state": verdict.outcome.state,
            "title": verdict.rule.title,
            "seen": verdict.outcome.seen,
            "why": verdict.rule.why,
            "source": verdict.rule.source,
        }
        for verdict in report.verdicts
    ]
    told = {"subject": report.subject, "summary": report.summary(), "rules": rules}
    return json.dumps(told, indent=2)


def to_html(report: Report) -> str:
    """Return a page: what failed first, with the reason why it matters."""
    order = ["ERROR", "FAIL", "PASS", "N/A"]
    verdicts = sorted(report.verdicts, key=lambda verdict: order.index(verdict.outcome.state))
    return _PAGE.format(
        title=html.escape(f"Does {report.subject} pass on SageMaker?"),
        summary=html.escape(report.summary()),
        rows="\n".join(map(_row, verdicts)),
    )


def _row(verdict: Verdict) -> str:
    rule, outcome = verdict.rule, verdict.outcome
    fails = outcome.state == "FAIL"
    return _ROW.format(
        css=outcome.state.replace("/", ""),
        state=outcome.state,
        id=rule.id,
        title=html.escape(rule.title),
        seen=html.escape(outcome.seen),
        why=f'<div class="why">{html.escape(rule.why)}</div>' if fails else "",
        source=f"Source: {html.escape(rule.source)}",
    )
