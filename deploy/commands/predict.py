"""`predict`: files in, a table of answers out, from an endpoint or from a container by its URL."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from deploy import invocations, names
from deploy.invocations import Question, Reply
from deploy.options import aws_command
from deploy.session import Aws

_WIDTHS = "{:30} {:12} {:>11}  {}"


@aws_command(
    "predict scan.jpg",
    "predict scans/*.png --url http://127.0.0.1:8080",
    "predict scan.jpg --accept image/png --out heat_maps",
    "predict scan.jpg --target-model north.tar.gz",
    "predict volume.nii.gz --async",
)
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option("--endpoint", help="Name of the endpoint. [default: the project's]")
@click.option("--url", help="Ask a container instead, such as http://127.0.0.1:8080.")
@click.option("--content-type", help="Of the files. [default: by their ending]")
@click.option(
    "--accept",
    default="application/json",
    show_default=True,
    help="Or application/jsonlines, text/csv, application/x-npy, image/png (heat map).",
)
@click.option("--target-model", help="Archive of a multi-model endpoint, such as north.tar.gz.")
@click.option("--async", "queued", is_flag=True, help="Ask an asynchronous endpoint, and wait.")
@click.option("--seconds", default=900.0, show_default=True, help="To wait with --async.")
@click.option("--raw", is_flag=True, help="Print the answers as they come.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    show_default=True,
    help="Folder for heat maps and arrays.",
)
def predict(
    aws: Aws,
    files: tuple[Path, ...],
    endpoint: str | None,
    url: str | None,
    content_type: str | None,
    accept: str,
    target_model: str | None,
    queued: bool,
    seconds: float,
    raw: bool,
    out: Path,
) -> None:
    """Ask what each of FILES shows. No answer is a diagnosis.

    A file that cannot be read is told, and the others are answered; the exit code is 1 then.
    """
    ask = _choose(aws, endpoint, url, queued, seconds)
    refused = 0
    show: Callable[[Path, Reply], None] = _print_raw if raw else _Table(out)
    for path in files:
        kind = content_type or invocations.guess_type(path)
        try:
            reply = ask(Question(path, kind, accept, target_model))
        except invocations.RefusedError as error:
            refused += 1
            click.echo(str(error), err=True)
            continue
        if reply:
            show(path, reply)
    if refused:
        raise click.ClickException(f"{refused} of {len(files)} files were refused.")


def _choose(
    aws: Aws, endpoint: str | None, url: str | None, queued: bool, seconds: float
) -> Callable[[Question], Reply | None]:
    if url and (endpoint or queued):
        raise click.UsageError("--url asks a container; --endpoint and --async ask AWS.")
    if url:
        return lambda question: _ask_container(aws, url, question)
    name = names.endpoint(aws, endpoint)
    if queued:
        return lambda question: invocations.ask_async(aws, name, question, seconds)
    return lambda question: invocations.ask_endpoint(aws, name, question)


def _ask_container(aws: Aws, url: str, question: Question) -> Reply | None:
    if aws.dry_run:
        click.echo(f"would ask {url} about {question.path} ({question.content_type})")
        return None
    return invocations.ask_url(url, question)


def _print_raw(_path: Path, reply: Reply) -> None:
    click.echo(reply.body, nl=False)


class _Table:
    """Prints a line an image; what is no text is written beside its name."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._begun = False

    def __call__(self, path: Path, reply: Reply) -> None:
        kind = reply.content_type.partition(";")[0]
        if kind in ("application/json", "application/jsonlines"):
            self._print(path, reply.body)
        elif kind in _ENDINGS:
            self._out.mkdir(parents=True, exist_ok=True)
            target = self._out / f"{path.name}{_ENDINGS[kind]}"
            target.write_bytes(reply.body)
            click.echo(f"{path}: {target}")
        else:
            click.echo(f"{path}: {reply.body.decode(errors='replace').rstrip()}")

    def _print(self, path: Path, body: bytes) -> None:
        entries = list(_entries(body))
        if not self._begun:
            click.echo(_WIDTHS.format("file", "label", "probability", "decision"))
            self._begun = True
        for place, entry in enumerate(entries):
            name = f"{path.name}[{place}]" if len(entries) > 1 else path.name
            click.echo(_WIDTHS.format(name, *_cells(entry)))


_ENDINGS = {"image/png": ".heat_map.png", "application/x-npy": ".npy"}


def _entries(body: bytes) -> Iterator[dict[str, Any]]:
    """Give each image's answer, of a JSON document or of JSON Lines."""
    try:
        whole = json.loads(body)
    except ValueError:
        yield from (json.loads(line) for line in body.splitlines())
    else:
        yield from whole.get("predictions", [whole])


def _cells(entry: dict[str, Any]) -> tuple[str, str, str]:
    if "error" in entry:
        return "-", "-", f"error: {entry['error']['message']}"
    if "label" not in entry:
        # Not the answer of this image.
        return "-", "-", json.dumps(entry)
    return entry["label"], f"{entry['probability']:.4f}", entry["decision"]
