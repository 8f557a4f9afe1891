"""`pipeline`: prepare, train, evaluate and register as one SageMaker Pipeline."""

import json
import uuid
from pathlib import Path
from typing import Any

import click

from deploy import image, jobs, names, pipeline_definition, places, tags
from deploy.commands.register import make_group
from deploy.commands.upload import upload_file
from deploy.errors import DeployError, or_none
from deploy.job_options import check_hyperparameters, hyperparameter_options
from deploy.options import aws_command
from deploy.session import Aws

_LONGEST_NAME = 256


@aws_command(
    "pipeline brain-tumor-mri.zip",
    "pipeline brain-tumor-mri.zip -s epochs=22 --least-accuracy 0.9 --no-start",
    "pipeline s3://BUCKET/archives/brain-tumor-mri.zip --print",
)
@click.argument("archive", metavar="ARCHIVE|S3URI")
@click.option("--name", help="Name of the pipeline. [default: PROJECT-pipeline]")
@click.option("--group", help="Model package group. [default: PROJECT-models]")
@click.option("--image", help="URI in ECR. [default: what was last pushed there]")
@click.option("--instance-type", default="ml.m5.xlarge", show_default=True, help="For training.")
@click.option(
    "--minutes",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="Training is stopped after that.",
)
@hyperparameter_options
@click.option(
    "--least-accuracy",
    default=0.85,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="The lower end of the 95 % interval that a model must reach to be registered.",
)
@click.option("--print", "printed", is_flag=True, help="Print the definition; make nothing.")
@click.option("--start/--no-start", default=True, help="Start it too.")
def pipeline(
    aws: Aws,
    archive: str,
    name: str | None,
    group: str | None,
    least_accuracy: float,
    printed: bool,
    start: bool,
    **chosen: Any,
) -> None:
    """Make and start a pipeline from ARCHIVE to a registered model.

    One that is there is brought up to date. The steps are commands of the image, each on a machine
    that lives no longer than the step. What reaches the wanted accuracy waits in the registry for a
    person's approval.
    """
    name = names.job(aws, name or f"{aws.project}-pipeline", _LONGEST_NAME)
    group = names.job(aws, group or f"{aws.project}-models")
    job = jobs.Job(
        image=chosen["image"] or image.newest(aws),
        **{name: chosen[name] for name in ("instance_type", "minutes", "hyperparameters")},
    )
    here = not archive.startswith("s3://")
    uri = f"s3://{aws.bucket}/{_key(archive)}" if here else places.readable(aws, archive)
    definition = json.dumps(
        pipeline_definition.make(aws, job, uri, group, least_accuracy), indent=2
    )
    if printed:
        click.echo(definition)
        return
    check_hyperparameters(aws, chosen)
    aws.confirm(f"{pipeline_definition.cost(aws, job)}\nMake {name}?")
    if here:
        upload_file(aws, Path(archive), _key(archive))
    make_group(aws, group)
    _put(aws, name, definition)
    if start:
        _start(aws, name)


def _key(archive: str) -> str:
    if not Path(archive).is_file():
        raise DeployError(f"There is no file {archive} here: name a zip, or s3://BUCKET/FILE.zip.")
    return f"archives/{Path(archive).name}"


def _put(aws: Aws, name: str, definition: str) -> None:
    client = aws.client("sagemaker")
    request: dict[str, Any] = {
        "PipelineName": name,
        "PipelineDefinition": definition,
        "RoleArn": aws.role_arn,
    }
    if or_none(client.describe_pipeline, PipelineName=name):
        client.update_pipeline(**request)
        aws.tell(f"updated {name}")
    else:
        client.create_pipeline(
            **request, ClientRequestToken=uuid.uuid4().hex, Tags=tags.as_list(aws.project)
        )
        aws.tell(f"made {name}")


def _start(aws: Aws, name: str) -> None:
    run = aws.client("sagemaker").start_pipeline_execution(
        PipelineName=name, ClientRequestToken=uuid.uuid4().hex
    )
    arn = run["PipelineExecutionArn"]
    aws.tell(f"started {arn}")
    aws.tell(
        "to see its steps: aws sagemaker list-pipeline-execution-steps --pipeline-execution-arn "
        f"{arn}"
    )
