"""The command `check`: its options become evidence; a line a rule is its output."""

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click

from local_test.emulator.channels import Channel, find_channels
from local_test.emulator.check import reports
from local_test.emulator.check.asking import Payload
from local_test.emulator.check.data import draw_channels
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.reports import Report
from local_test.emulator.check.subject import Subject, evidence
from local_test.emulator.check.suite import Evidence, Verdict, judge, select
from local_test.emulator.console import Console
from local_test.emulator.engine import Engine
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
@click.option("--job-timeout", "job", default=240.0, help="Seconds that one job may take.")
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
    """Say rule by rule whether IMAGE would pass on the platform; exit code 1 if one fails."""
    rules = select(only)
    if only_list:
        for rule in rules:
            click.echo(f"{rule.id:13} {rule.title} [{rule.source}]")
        return
    subject = _subject(options)
    if bool(subject.image) == bool(subject.train or subject.serve):
        raise click.UsageError("Give an IMAGE, or --command and --serve-command.")
    limits = Limits(**{name: options[name] for name in ("total", "job", "grace", "healthy")})
    start = time.monotonic()
    verdicts: list[Verdict] = []
    with _evidence(subject, limits, log) as found:
        for verdict in judge(rules, found):
            verdicts.append(verdict)
            if not as_json:
                _print(verdict)
    report = Report(subject.name, verdicts, time.monotonic() - start, _notes(limits))
    click.echo(reports.to_json(report) if as_json else report.summary())
    for path, to_text in ((junit, reports.to_junit), (page, reports.to_html)):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(to_text(report))
    raise SystemExit(1 if report.failed else 0)


def _print(verdict: Verdict) -> None:
    click.echo(verdict.line)
    if verdict.outcome.state == "FAIL":
        click.echo(f"     {verdict.rule.why} (Source: {verdict.rule.source})")


def _notes(limits: Limits) -> list[str]:
    """Say which limits were not the platform's."""
    usual = Limits()
    told = {
        "8 minutes to be healthy": (limits.healthy, usual.healthy),
        "120 s from SIGTERM to SIGKILL": (limits.grace, usual.grace),
    }
    notes = [
        f"{given:g} s in place of {name}." for name, (given, own) in told.items() if given != own
    ]
    ends = f"All had {limits.total:g} s: where less than a limit was left, the limit was less."
    return [*notes, ends]


@contextmanager
def _evidence(subject: Subject, limits: Limits, show_log: bool) -> Iterator[Evidence]:
    interrupts = Interrupts()
    with ExitStack() as stack:
        stack.enter_context(interrupts.caught())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emulator-check-")))
        log = stack.enter_context((folder / "log").open("w"))
        engine = stack.enter_context(Engine(interrupts)) if subject.image else None
        console = Console(None if show_log else log)
        yield stack.enter_context(evidence(subject, engine, limits, folder, console))


def _subject(options: Mapping[str, Any]) -> Subject:
    payload: Path | None = options["payload"]
    definitions: TextIO | None = options["metric_definitions"]
    return Subject(
        image=options["image"],
        train=options["command"],
        serve=options["serve_command"],
        channels=partial(_channels, options["data"]),
        hyperparameters=parse_pairs(options["hyperparameters"], "-s"),
        long=parse_pairs(options["long"], "--long"),
        metrics=parse_definitions(definitions.read()) if definitions else (),
        hosts=options["hosts"],
        model=options["model"],
        own_model=options["own_model"],
        payload=Payload(payload.read_bytes(), options["content_type"]) if payload else None,
    )


def _channels(data: tuple[str, ...], folder: Path) -> list[Channel]:
    return find_channels(data)[0] if data else draw_channels(folder)
