"""The command `check`: its options become evidence; a line a rule is its output."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from local_test.emulator.channels import find_channels
from local_test.emulator.check import reports
from local_test.emulator.check.asking import Payload
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.reports import Report
from local_test.emulator.check.rule import Rule
from local_test.emulator.check.subject import Subject, evidence
from local_test.emulator.check.suite import Evidence, Verdict, judge, select
from local_test.emulator.console import Console
from local_test.emulator.engine import Engine
from local_test.emulator.errors import EmulatorError
from local_test.emulator.interrupts import Interrupts
from local_test.emulator.metrics import parse_definitions
from local_test.emulator.specification import parse_pairs

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(context_settings={"show_default": True})
@click.argument("image", required=False)
@click.option("--command", help='Train with this instead of an image, such as "train".')
@click.option("--serve-command", help='Serve with this instead of an image, such as "serve".')
@click.option("--only", multiple=True, help="A rule's id, or TRAIN-*; repeat it.")
@click.option("--list", "only_list", is_flag=True, help="Print the rules and test nothing.")
@click.option("--data", multiple=True, help="As in `train`; default: phantoms are drawn.")
@click.option("-s", "hyperparameters", multiple=True, help="Hyperparameter, key=value; repeat it.")
@click.option(
    "--long", multiple=True, help="More of them for jobs to be interrupted, such as epochs=1000."
)
@click.option("--hosts", default=1, type=click.IntRange(1, 20), help="Train on several as well.")
@click.option("--metric-definitions", type=click.File(), help="As in `train`.")
@click.option("--model", type=click.Path(path_type=Path, exists=True), help="As in `serve`.")
@click.option("--own-model", is_flag=True, help="The image has its model inside.")
@click.option(
    "--payload", type=click.Path(path_type=Path, exists=True), help="A body that is to be answered."
)
@click.option("--content-type", default="application/octet-stream", help="Of the payload.")
@click.option("--junit", type=_FILE, help="Write JUnit XML.")
@click.option("--html", "page", type=_FILE, help="Write a page for people.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, not a line a rule.")
@click.option(
    "--healthy-timeout", "healthy", default=480.0, help="Seconds until it must be healthy."
)
@click.option("--grace", default=120.0, help="Seconds from SIGTERM to SIGKILL in training.")
@click.option(
    "--job-timeout",
    "job",
    default=240.0,
    type=click.FloatRange(1),
    help="Seconds that one job may take.",
)
@click.option("--time-limit", "total", default=600.0, help="Seconds for all; the rest is N/A.")
@click.option("--log", is_flag=True, help="Show what the containers print.")
def check(
    only: tuple[str, ...],
    only_list: bool,
    junit: Path | None,
    page: Path | None,
    as_json: bool,
    log: bool,
    **options: Any,
) -> None:
    """Say rule by rule whether IMAGE would pass on the platform.

    The exit code is 1 if a rule fails, cannot be tested for another's fault (ERROR), or had no
    time.
    """
    with _usage():
        rules = select(only)
    if only_list:
        for rule in rules:
            click.echo(f"{rule.id:13} {rule.title} [{rule.source}]")
        return
    with _usage():
        subject = _subject(options)
    limits = Limits(**{name: options[name] for name in ("total", "job", "grace", "healthy")})
    verdicts: list[Verdict] = []
    with _evidence(subject, limits, log) as found:
        try:
            for verdict in judge(rules, found):
                verdicts.append(verdict)
                if not as_json:
                    _print(verdict)
        finally:
            # Also after Ctrl-C: what was seen until then.
            report = Report(subject.name, verdicts, limits.gone, _notes(limits, rules, verdicts))
            click.echo(reports.to_json(report) if as_json else report.summary())
            _write(report, junit, page)
    raise SystemExit(1 if report.failed or limits.ran_out else 0)


@contextmanager
def _usage() -> Iterator[None]:
    """Tell the caller's mistakes apart from rules that fail: exit code 2."""
    try:
        yield
    except EmulatorError as error:
        raise click.UsageError(str(error)) from error


def _print(verdict: Verdict) -> None:
    click.echo(verdict.line)
    if verdict.outcome.state == "FAIL":
        click.echo(f"      {verdict.rule.why}")


def _write(report: Report, junit: Path | None, page: Path | None) -> None:
    for path, to_text in ((junit, reports.to_junit), (page, reports.to_html)):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_text(report))


def _notes(limits: Limits, rules: Sequence[Rule[Any]], verdicts: Sequence[Verdict]) -> list[str]:
    """Say which limits were not the platform's, and what was left out."""
    usual = Limits()
    told = {
        "8 minutes to be healthy": (limits.healthy, usual.healthy),
        "120 s from SIGTERM to SIGKILL": (limits.grace, usual.grace),
    }
    notes = [
        f"{given:g} s in place of {name}." for name, (given, own) in told.items() if given != own
    ]
    if limits.ran_out:
        notes.append(f"The {limits.total:g} s for all were not enough: what needs more is N/A.")
    if left := len(rules) - len(verdicts):
        notes.append(f"It was ended before {left} more rules were tested.")
    return notes


@contextmanager
def _evidence(subject: Subject, limits: Limits, show_log: bool) -> Iterator[Evidence]:
    interrupts = Interrupts()
    with ExitStack() as stack:
        stack.enter_context(interrupts.caught())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emulator-check-")))
        log = stack.enter_context((folder / "log").open("w"))
        console = Console(None if show_log else log)
        with _usage():
            engine = stack.enter_context(Engine(interrupts)) if subject.image else None
            found = stack.enter_context(evidence(subject, engine, limits, folder, console))
        yield found


def _subject(options: Mapping[str, Any]) -> Subject:
    payload: Path | None = options["payload"]
    definitions: TextIO | None = options["metric_definitions"]
    if bool(options["image"]) == bool(options["command"] or options["serve_command"]):
        raise EmulatorError("Give an IMAGE, or --command and --serve-command.")
    return Subject(
        image=options["image"],
        train=options["command"],
        serve=options["serve_command"],
        channels=find_channels(options["data"])[0] if options["data"] else None,
        hyperparameters=parse_pairs(options["hyperparameters"], "-s"),
        long=parse_pairs(options["long"], "--long"),
        metrics=parse_definitions(definitions.read()) if definitions else (),
        hosts=options["hosts"],
        model=options["model"],
        own_model=options["own_model"],
        payload=Payload(payload.read_bytes(), options["content_type"]) if payload else None,
    )
