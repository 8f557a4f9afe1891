"""The options by which `train` and `tune` choose machines, data and hyperparameters."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from deploy import image, local_mode, places
from deploy.jobs import Job, find_channels
from deploy.session import Aws

_ONE = click.IntRange(1)
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)

_HYPERPARAMETER_OPTIONS = (
    click.option(
        "-s",
        "hyperparameters",
        multiple=True,
        metavar="NAME=VALUE",
        callback=image.parse_settings,
        help="A hyperparameter; can be given several times.",
    ),
    click.option(
        "--ask", help="Docker's name of the image that is asked what it takes. [default: --image]"
    ),
    click.option(
        "--hyperparameters-schema",
        type=_FILE,
        help="What its `brain-tumor hyperparameters --json` printed, where no Docker is here.",
    ),
)

_OPTIONS = (
    click.option(
        "--image",
        help="URI in ECR; of `train --local` Docker's name. [default: what was last pushed]",
    ),
    click.option(
        "--instance-type",
        default="ml.m5.xlarge",
        show_default=True,
        help="Machine; `cost` tells what it costs.",
    ),
    click.option(
        "--instance-count", type=_ONE, default=1, show_default=True, help="They train one model."
    ),
    click.option("--volume-gb", type=_ONE, default=30, show_default=True, help="Disk of each, GB."),
    click.option(
        "--minutes", type=_ONE, default=60, show_default=True, help="A job is stopped after that."
    ),
    click.option("--spot", is_flag=True, help="Cheaper machines that AWS may take back."),
    click.option(
        "--wait-minutes",
        type=_ONE,
        default=120,
        show_default=True,
        help="Longest time that --spot may take, with waiting.",
    ),
    click.option(
        "--keep-alive",
        "keep_alive_minutes",
        type=click.IntRange(0, 360),
        default=0,
        show_default=True,
        help="Minutes that the machines are kept, and paid, for a next job (warm pool).",
    ),
    click.option(
        "--isolation/--no-isolation",
        default=True,
        show_default=True,
        help="No network in the container; the image needs none.",
    ),
    click.option(
        "--input-mode",
        type=click.Choice(["File", "FastFile"]),
        default="File",
        show_default=True,
        help="FastFile streams the data instead of copying it first.",
    ),
    click.option("--sharded", is_flag=True, help="Each machine gets a part of the training files."),
    click.option(
        "--channel",
        "channels",
        multiple=True,
        metavar="NAME=S3URI",
        callback=image.parse_settings,
        help="A further channel, such as pretrained or model.",
    ),
    click.option(
        "--metric-definitions",
        type=_FILE,
        help="What the image's `brain-tumor metric-definitions` printed, where no Docker is here.",
    ),
)


def job_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a job."""
    return _with_options(hyperparameter_options(function), _OPTIONS)


def hyperparameter_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command hyperparameters, and the options by which the image is asked for its own."""
    return _with_options(function, _HYPERPARAMETER_OPTIONS)


def _with_options(
    function: Callable[..., None], options: Sequence[Callable[..., Any]]
) -> Callable[..., None]:
    for option in reversed(options):
        function = option(function)
    return function


def ask_schema(aws: Aws, chosen: dict[str, Any]) -> dict[str, Any]:
    """Give what the image tells of its hyperparameters."""
    schema: dict[str, Any] = _ask(
        aws, chosen, "hyperparameters_schema", "hyperparameters", "--json"
    )
    return schema


def check_hyperparameters(aws: Aws, chosen: dict[str, Any]) -> None:
    """Refuse hyperparameters that the image would refuse, before it costs money."""
    given = chosen["hyperparameters"]
    if given and not _is_left_out(aws, chosen, "hyperparameters_schema"):
        image.check_hyperparameters(ask_schema(aws, chosen), given)


def make_job(aws: Aws, chosen: dict[str, Any], local: Path | None = None) -> Job:
    """Make a job of what was chosen; ask the image, and check the hyperparameters by its answer.

    With `local` it trains on a folder of zips, instead of what the bucket holds.
    """
    if local and not chosen["image"]:
        chosen["image"] = "brain-tumor"
    check_hyperparameters(aws, chosen)
    metrics = []
    # The local mode has no use for them.
    if not local and not _is_left_out(aws, chosen, "metric_definitions"):
        metrics = _ask(aws, chosen, "metric_definitions", "metric-definitions")
    channels = _channels(aws, chosen["channels"], local)
    own = {field.name for field in fields(Job)} & chosen.keys()
    told = {
        "image": chosen["image"] or image.newest(aws),
        "channels": channels,
        "metrics": metrics,
    }
    return Job(**{name: chosen[name] for name in own} | told)


def _channels(aws: Aws, given: dict[str, str], local: Path | None) -> dict[str, str]:
    """Find the channels, and put those beside them that were given."""
    if local:
        return local_mode.channels(local) | given
    return find_channels(aws) | {name: places.readable(aws, uri) for name, uri in given.items()}


def _is_left_out(aws: Aws, chosen: dict[str, Any], option: str) -> bool:
    """Whether a dry run has no image to ask: what was last pushed is not known to it."""
    return aws.dry_run and not (chosen["ask"] or chosen["image"] or chosen[option])


def _ask(aws: Aws, chosen: dict[str, Any], option: str, *words: str) -> Any:
    if chosen[option]:
        return image.read_answer(chosen[option])
    name = chosen["ask"] or chosen["image"] or image.newest(aws)
    return image.ask(name, list(words), f"--{option.replace('_', '-')}")
