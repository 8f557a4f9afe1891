"""`register`: a version in the model registry, with its figures and its model card."""

import json
from pathlib import Path
from typing import Any

import click

from deploy import image, model_card, names, sources, tags
from deploy.commands.upload import upload_file
from deploy.errors import DeployError, or_none
from deploy.options import aws_command
from deploy.session import Aws
from deploy.sources import Source

CONTENT_TYPES = [
    "application/x-image",
    "image/jpeg",
    "image/png",
    "application/dicom",
    "application/json",
    "application/jsonlines",
    "application/x-npy",
]
ACCEPTS = ["application/json", "application/jsonlines", "text/csv", "application/x-npy"]
_STATES = ["PendingManualApproval", "Approved", "Rejected"]


@aws_command(
    "register jobs/brain-tumor-1",
    "register jobs/brain-tumor-1 --status Approved",
    "register local_test/test_dir --group brain-tumor-by-hand",
)
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--group", help="Model package group. [default: PROJECT-models]")
@click.option(
    "--model",
    help="A training job, a model folder of this machine, or the S3 URI of a model.tar.gz. "
    "[default: the job of FOLDER's name, or its model/]",
)
@click.option(
    "--image",
    "image_uri",
    help="URI in ECR. [default: that of the job, or what was last pushed there]",
)
@click.option("--status", type=click.Choice(_STATES), default=_STATES[0], show_default=True)
def register(
    aws: Aws,
    folder: Path,
    group: str | None,
    model: str | None,
    image_uri: str | None,
    status: str,
) -> None:
    """Register a trained model as the next version of a group.

    FOLDER is what `train` brought home: evaluation.json becomes its metrics, MODEL_CARD.md its
    card. The registry costs nothing; AWS bills what the bucket keeps.
    """
    group = names.job(aws, group or f"{aws.project}-models")
    reports = _reports(folder)
    if model and model.startswith("arn:"):
        raise DeployError(
            f"{model} is in the registry already: name the job, the folder or the archive it was "
            "registered from."
        )
    found = sources.find(aws, model) if model else _model_of(aws, folder)
    image_uri = image_uri or found.image or image.newest(aws)
    aws.tell(f"Model: {found.place}, served by {image_uri}")
    aws.confirm(f"Register {folder} as the next version of {group}, {status}?")
    source = sources.store(aws, found)
    uris = {name: _keep(aws, path, source) for name, path in reports.items()}
    card = model_card.make(
        reports["MODEL_CARD.md"].read_text(),
        json.loads(reports["evaluation.json"].read_text()),
        source,
        uris["MODEL_CARD.md"],
    )
    make_group(aws, group)
    container = {"Image": image_uri, "ModelDataUrl": source}
    request = package_request(group, container, uris["evaluation.json"], status)
    made = aws.client("sagemaker").create_model_package(
        **request,
        ModelPackageDescription=f"Registered from {folder.name}",
        ModelCard={"ModelCardContent": json.dumps(card), "ModelCardStatus": "Draft"},
    )
    arn = made["ModelPackageArn"]
    aws.tell(f"{arn} ({status})")
    if status != "Approved":
        aws.tell(f"Approve it by: {sources.approval(arn)}")
    aws.tell(f"Next: python -m deploy endpoint --model {arn}")


def package_request(
    group: str, container: dict[str, Any], evaluation: Any, status: str
) -> dict[str, Any]:
    """Make the parameters of CreateModelPackage; a version has the tags of its group."""
    quality = {"Statistics": {"ContentType": "application/json", "S3Uri": evaluation}}
    return {
        "ModelPackageGroupName": group,
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": CONTENT_TYPES,
            "SupportedResponseMIMETypes": ACCEPTS,
            "SupportedRealtimeInferenceInstanceTypes": ["ml.c5.large", "ml.c5.xlarge"],
            "SupportedTransformInstanceTypes": ["ml.m5.large", "ml.m5.xlarge"],
        },
        "ModelMetrics": {"ModelQuality": quality},
        "ModelApprovalStatus": status,
        "Domain": "COMPUTER_VISION",
        "Task": "IMAGE_CLASSIFICATION",
    }


def make_group(aws: Aws, group: str) -> None:
    """Make the group where it is missing."""
    client = aws.client("sagemaker")
    if or_none(client.describe_model_package_group, ModelPackageGroupName=group) is None:
        client.create_model_package_group(
            ModelPackageGroupName=group, Tags=tags.as_list(aws.project)
        )


def _reports(folder: Path) -> dict[str, Path]:
    """Find the two reports: in `output` of what `train` brought home, or below /opt/ml."""
    for place in (folder / "output", folder / "output" / "data", folder):
        found = {name: place / name for name in ("evaluation.json", "MODEL_CARD.md")}
        if all(path.is_file() for path in found.values()):
            return found
    raise DeployError(
        f"{folder} holds no output/evaluation.json and output/MODEL_CARD.md: name the folder of a "
        "job that `python -m deploy train` brought home, such as jobs/JOB."
    )


def _model_of(aws: Aws, folder: Path) -> Source:
    """Find the model of the job whose name the folder has, else that in the folder."""
    name = folder.resolve().name
    describe = aws.client("sagemaker").describe_training_job
    # AWS answers other names by an error, and the user's policy allows no other project's.
    if names.is_job(aws, name) and or_none(describe, TrainingJobName=name):
        return sources.of_job(aws, name)
    return sources.of_folder(folder / "model")


def _keep(aws: Aws, path: Path, source: str) -> str:
    """Upload a report beside nothing that could be overwritten; give its S3 URI."""
    place = names.by_content("registry", {"model": source, "report": path.read_text()})
    key = f"{place.replace('-', '/')}/{path.name}"
    upload_file(aws, path, key)
    return f"s3://{aws.bucket}/{key}"
