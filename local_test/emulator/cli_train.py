"""The command `train`: its options become a specification; the description is its output."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click

from local_test.emulator import hosts
from local_test.emulator.channels import find_channels
from local_test.emulator.cli_image import check_given, engine_for
from local_test.emulator.console import Console
from local_test.emulator.describe import describe
from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosts import MakeHost
from local_test.emulator.interrupts import Interrupts
from local_test.emulator.job import Run
from local_test.emulator.layout import CHECKPOINTS
from local_test.emulator.metrics import MetricDefinition, parse_definitions
from local_test.emulator.process import split_words
from local_test.emulator.specification import TrainingJob, parse_pairs


@click.command(context_settings={"show_default": True})
@click.argument("image", required=False)
@click.option("--command", help='Run this instead of an image, such as "brain-tumor train".')
@click.option(
    "--data", multiple=True, help="A folder whose folders are channels, or channel=PATH; repeat it."
)
@click.option("-s", "hyperparameters", multiple=True, help="Hyperparameter, key=value; repeat it.")
@click.option("--env", multiple=True, help="An environment variable, KEY=VALUE; repeat it.")
@click.option("--hosts", "instance_count", default=1, type=click.IntRange(1, 20), help="Instances.")
@click.option("--instance-type", default="ml.m5.xlarge", help="What resourceconfig.json says.")
@click.option("--mode", default="File", type=click.Choice(["File", "FastFile", "Pipe"]))
@click.option("--sharded", is_flag=True, help="ShardedByS3Key: each host gets every n-th object.")
@click.option("--content-type", help="ContentType of all channels.")
@click.option("--record-io", is_flag=True, help="In Pipe mode, wrap each object as a record.")
@click.option("--entrypoint", multiple=True, help="A word of ContainerEntrypoint; repeat it.")
@click.option("--argument", "arguments", multiple=True, help="A word of ContainerArguments.")
@click.option("--isolated", is_flag=True, help="Network isolation: only the job's own hosts.")
@click.option("--memory", help="Memory of each host, such as 4g.")
@click.option("--gpus", is_flag=True, help="Give each host all GPUs.")
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that /opt/ml/checkpoints is restored from and kept in.",
)
@click.option(
    "--spot-kill-after",
    type=click.FloatRange(min=0),
    help="Kill all hosts after these seconds, and start again with the checkpoints.",
)
@click.option("--stop-after", type=click.FloatRange(min=0), help="StopTrainingJob after seconds.")
@click.option("--max-runtime", default=86400.0, help="MaxRuntimeInSeconds.")
@click.option("--grace", default=120.0, help="Seconds from SIGTERM to SIGKILL; the platform's 120.")
@click.option(
    "--metric-definitions",
    type=click.File(),
    help="JSON list of Name and Regex; - reads it from stdin.",
)
@click.option("--job-name", help="Default: the image's name and the time.")
@click.option(
    "--out",
    default="emulator-out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Stands for the bucket: results come into a folder of it, named as the job.",
)
def train(
    image: str | None,
    command: str | None,
    data: tuple[str, ...],
    hyperparameters: tuple[str, ...],
    env: tuple[str, ...],
    mode: Any,
    sharded: bool,
    content_type: str | None,
    record_io: bool,
    metric_definitions: TextIO | None,
    job_name: str | None,
    out: Path,
    checkpoints: Path | None,
    **fields: Any,
) -> None:
    """Run a training job with IMAGE; print DescribeTrainingJob's answer.

    The log, the statuses and all notes go to stderr. The exit code is 1 when the job failed.
    """
    check_given(image, command)
    name = job_name or _job_name(image or split_words(str(command))[0])
    folder = out / name
    if folder.exists():
        raise EmulatorError(
            f"{folder} is there: as on SageMaker, the name of a training job is used once. Give "
            "another --job-name or --out, or remove the folder."
        )
    if fields["spot_kill_after"] is not None:
        checkpoints = checkpoints or folder / CHECKPOINTS
    channels, left_out = find_channels(data)
    job = TrainingJob(
        name=name,
        image=image or str(command),
        channels=tuple(
            replace(
                channel,
                mode=mode,
                sharded=sharded,
                content_type=content_type,
                record_wrapper="RecordIO" if record_io else "None",
            )
            for channel in channels
        ),
        hyperparameters=parse_pairs(hyperparameters, "-s"),
        environment=parse_pairs(env, "--env"),
        metric_definitions=_definitions(metric_definitions),
        checkpoints=checkpoints,
        **fields,
    )
    console = Console(several_hosts=job.instance_count > 1)
    if left_out:
        console.note(f"in no channel, so left out: {', '.join(left_out)}")
    with _host_maker(job, command, console) as make_host:
        record = Run(job, make_host, folder, console).lead()
    console.note(f"results are in {folder}")
    console.close()
    click.echo(json.dumps(describe(record), indent=2))
    raise SystemExit(1 if record.status == "Failed" else 0)


def _definitions(file: TextIO | None) -> tuple[MetricDefinition, ...]:
    return parse_definitions(file.read()) if file else ()


@contextmanager
def _host_maker(job: TrainingJob, command: str | None, console: Console) -> Iterator[MakeHost]:
    if command:
        with Interrupts().caught(), hosts.command(split_words(command), job) as make_host:
            yield make_host
        return
    with engine_for(job.image, console) as engine, hosts.containers(engine, job) as make_host:
        yield make_host


def _job_name(image: str) -> str:
    """Return the image's own name and the time, as the SDK names jobs."""
    own = re.sub(r"[^A-Za-z0-9]+", "-", image.rsplit("/", 1)[-1].split(":")[0].split("@")[0])
    now = datetime.now(UTC)
    return f"{own.strip('-')[:38]}-{now:%Y-%m-%d-%H-%M-%S}-{now.microsecond // 1000:03d}"
