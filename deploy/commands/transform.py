"""`transform`: a batch transform job over files, and its results brought home."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from deploy import models, names, prices, sources, tags
from deploy.errors import DeployError, explain_failure
from deploy.options import aws_command
from deploy.session import Aws

_POLL_SECONDS = 10.0


@aws_command(
    "transform scans",
    "transform s3://BUCKET/scans/ --model brain-tumor-1 --instance-count 2",
    "transform lines.jsonl --content-type application/jsonlines --split-lines",
)
@click.argument("source", metavar="FOLDER|FILE|S3PREFIX")
@click.option("--model", help=sources.HELP)
@click.option("--image", "image_uri", help="URI in ECR. [default: what was last pushed there]")
@click.option("--name", help="Name of the job. [default: the project, transform and the time]")
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
def transform(aws: Aws, source: str, name: str | None, **chosen: Any) -> None:
    """Run a batch transform job: many files answered at once.

    Its machines live no longer than the job. A folder or file of this machine is uploaded first.
    """
    name = names.ours(aws, name or f"{aws.project}-transform-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    files = [] if source.startswith("s3://") else _files(Path(source))
    told = prices.sentence(aws, chosen["instance_type"], chosen["instance_count"])
    found = sources.find(aws, chosen["model"])
    image_uri = models.choose(aws, found, chosen["image_uri"])
    aws.tell(f"Model: {models.sentence(found, image_uri)}")
    aws.confirm(f"{told} Until the last file is answered.\nStart {name}?")
    model = models.make(aws, found, image_uri, {})
    prefix = _upload(aws, Path(source), files, name) if files else source
    request = transform_request(aws, name, model, prefix, chosen)
    aws.client("sagemaker").create_transform_job(**request)
    aws.tell(f"started {name}")
    if chosen["wait"] and not aws.dry_run:
        _wait(aws, name)
        _bring_home(aws, request["TransformOutput"]["S3OutputPath"], chosen["out"] / name)


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


def _files(source: Path) -> list[Path]:
    """Give a file, or the files of a folder and its subfolders.

    Raises:
        DeployError: there is none.
    """
    if not source.exists():
        raise DeployError(f"There is no {source} here: name a folder, a file, or s3://BUCKET/….")
    if source.is_file():
        return [source]
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    if not files:
        raise DeployError(f"There is no file in {source}.")
    return files


def _upload(aws: Aws, source: Path, files: list[Path], name: str) -> str:
    """Upload the files of `source`, which keep their places below it; give the prefix."""
    top = source if source.is_dir() else source.parent
    prefix = f"transforms/{name}/input"
    client = aws.client("s3")
    with click.progressbar(files, label="upload") as bar:
        for path in bar:
            key = f"{prefix}/{path.relative_to(top).as_posix()}"
            owner = {"ExpectedBucketOwner": aws.account}
            client.upload_file(str(path), aws.bucket, key, ExtraArgs=owner)
    return f"s3://{aws.bucket}/{prefix}"


def _wait(aws: Aws, name: str) -> None:
    client, shown = aws.client("sagemaker"), ""
    while True:
        job = client.describe_transform_job(TransformJobName=name)
        status: str = job["TransformJobStatus"]
        if status != shown:
            click.echo(f"[{status}]")
            shown = status
        if status in ("Failed", "Stopped"):
            reason = job.get("FailureReason") or "AWS gives no reason"
            group = "aws logs tail /aws/sagemaker/TransformJobs --log-stream-name-prefix"
            remedy = explain_failure(reason) or f"Its log: `{group} {name}/`."
            raise DeployError(f"{name} is {status}: {reason} {remedy}")
        if status == "Completed":
            return
        time.sleep(_POLL_SECONDS)


def _bring_home(aws: Aws, output: str, folder: Path) -> None:
    client, prefix = aws.client("s3"), output.removeprefix(f"s3://{aws.bucket}/") + "/"
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=aws.bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    for key in keys:
        target = folder / key.removeprefix(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(aws.bucket, key, str(target))
    click.echo(f"{len(keys)} answers in {folder}/")
