"""`transform`: a batch transform job over files, and its results brought home."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deploy import batch, models, names, places, prices, sources, tags, watch
from deploy.errors import DeployError, tell_failure
from deploy.options import aws_command
from deploy.session import Aws

_GROUP = "/aws/sagemaker/TransformJobs"
_POLL_SECONDS = 10.0


@aws_command(
    "transform scans",
    "transform s3://BUCKET/scans/ --model brain-tumor-1 --instance-count 2",
    "transform lines.jsonl --content-type application/jsonlines --split-lines",
    "transform --attach brain-tumor-transform-1",
)
@click.argument("source", metavar="FOLDER|FILE|S3PREFIX", default="")
@click.option("--model", help=sources.HELP)
@click.option("--image", "image_uri", help="URI in ECR. [default: what was last pushed there]")
@click.option("--name", help="Name of the job. [default: the project, transform and the time]")
@click.option("--attach", metavar="JOB", help="Start nothing: fetch the answers of a job.")
@click.option("--instance-type", default="ml.m5.large", show_default=True)
@click.option(
    "--instance-count",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Machines, which share out the files.",
)
@click.option(
    "--content-type",
    default="application/x-image",
    show_default=True,
    help="Of every file; the default reads images of all kinds.",
)
@click.option("--accept", default="application/json", show_default=True, help="As for predict.")
@click.option("--split-lines", is_flag=True, help="Each line is a record, as in JSON Lines.")
@click.option("--wait/--no-wait", default=True, help="Wait, and fetch the results.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="transforms",
    show_default=True,
    help="A folder of the job's name below this one gets a file FILE.out for each.",
)
def transform(aws: Aws, source: str, name: str | None, attach: str | None, **chosen: Any) -> None:
    """Run a batch transform job: many files answered at once.

    Its machines live no longer than the job. A folder or file of this machine is uploaded first,
    hidden files and earlier answers left out. A file that cannot be answered fails the job; the
    answers of the others are fetched all the same.
    """
    if bool(source) == bool(attach):
        raise click.UsageError("Name a folder, a file or an S3 prefix, or a job by --attach.")
    if attach:
        name = attach
        names.old_job(aws, "transform", name)
    else:
        name = name or f"{aws.project}-transform-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        names.new_job(aws, "transform", name)
        _start(aws, source, name, chosen)
    if chosen["wait"] and not aws.dry_run:
        _fetch(aws, name, chosen["out"] / name)


def _start(aws: Aws, source: str, name: str, chosen: dict[str, Any]) -> None:
    prefix = places.readable(aws, source) if source.startswith("s3://") else ""
    files = [] if prefix else batch.find(Path(source), chosen["out"])
    told = prices.sentence(aws, chosen["instance_type"], chosen["instance_count"])
    found = sources.find(aws, chosen["model"])
    image_uri = models.choose(aws, found, chosen["image_uri"])
    aws.tell(f"Model: {models.sentence(found, image_uri)}")
    aws.confirm(f"{told} Until the last file is answered.\nStart {name}?")
    model = models.make(aws, found, image_uri, {})
    prefix = prefix or batch.upload(aws, Path(source), files, name, chosen["out"] / name)
    aws.client("sagemaker").create_transform_job(
        **transform_request(aws, name, model, prefix, chosen)
    )
    aws.tell(f"started {name}; to fetch its answers: python -m deploy transform --attach {name}")


def transform_request(
    aws: Aws, name: str, model: str, prefix: str, chosen: dict[str, Any]
) -> dict[str, Any]:
    """Make the parameters of CreateTransformJob.

    How many requests at once, and how large, is left to the image's /execution-parameters.
    """
    lines = "Line" if chosen["split_lines"] else "None"
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": prefix}}
    return {
        "TransformJobName": name,
        "ModelName": model,
        "TransformInput": {
            "DataSource": source,
            "ContentType": chosen["content_type"],
            "SplitType": lines,
        },
        "TransformOutput": {
            "S3OutputPath": f"s3://{aws.bucket}/transforms/{name}/output",
            "Accept": chosen["accept"],
            "AssembleWith": lines,
        },
        "TransformResources": {
            "InstanceType": chosen["instance_type"],
            "InstanceCount": chosen["instance_count"],
        },
        "Tags": tags.as_list(aws.project),
    }


def _fetch(aws: Aws, name: str, folder: Path) -> None:
    """Wait for a job and bring home what it answered, also where it failed.

    Raises:
        DeployError: it failed or was stopped; the end of its log is printed before.
    """
    job = _wait(aws, name)
    answered = batch.bring_home(aws, job, folder)
    status: str = job["TransformJobStatus"]
    if status != "Completed":
        watch.show_end(aws, _GROUP, f"{name}/")
        there = "What it answered is there all the same." if answered else ""
        raise DeployError(f"{name} is {status}: {tell_failure(job, there)}")


def _wait(aws: Aws, name: str) -> dict[str, Any]:
    """Print how it goes until the job ends; give AWS's description of it."""
    client, shown = aws.client("sagemaker"), ""
    while True:
        job: dict[str, Any] = client.describe_transform_job(TransformJobName=name)
        status: str = job["TransformJobStatus"]
        if status != shown:
            click.echo(f"[{status}]")
            shown = status
        if status in watch.ENDED:
            return job
        time.sleep(_POLL_SECONDS)
