"""SageMaker's Model: which archive of which job, folder or registry it is made of."""

import gzip
import hashlib
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from deploy import image, names, tags
from deploy.commands.upload import upload_file
from deploy.errors import DeployError, or_none
from deploy.session import Aws

HELP = (
    "A training job, a model folder of this machine, the S3 URI of a model.tar.gz, or the ARN of a "
    "model package. [default: the last job that completed]"
)


def find(aws: Aws, given: str | None) -> str:
    """Give the S3 URI, or the ARN of a model package, of what a person named.

    Raises:
        DeployError: there is no such model.
    """
    if given and given.startswith("s3://"):
        return given
    if given and given.startswith("arn:"):
        return _approved(aws, given)
    if given and Path(given).is_dir():
        return upload_folder(aws, Path(given))
    return job_archive(aws, given or _last_job(aws))


def _approved(aws: Aws, arn: str) -> str:
    """Give a model package's ARN back.

    Raises:
        DeployError: nobody has approved it.
    """
    package = or_none(aws.client("sagemaker").describe_model_package, ModelPackageName=arn)
    status = package["ModelApprovalStatus"] if package else "Approved"
    if status != "Approved":
        raise DeployError(f"The model package {arn} is {status}: approve it by `{approval(arn)}`.")
    return arn


def approval(arn: str) -> str:
    """Give the command by which a person approves a model package."""
    return (
        f"aws sagemaker update-model-package --model-package-arn {arn} "
        "--model-approval-status Approved"
    )


def job_archive(aws: Aws, name: str) -> str:
    """Give the S3 URI of a training job's model.tar.gz.

    Raises:
        DeployError: there is no such job, or it has not completed.
    """
    job = or_none(aws.client("sagemaker").describe_training_job, TrainingJobName=name)
    if aws.dry_run:
        return f"s3://{aws.bucket}/jobs/{name}/output/model.tar.gz"
    if job is None:
        raise DeployError(
            f"There is no training job {name} in {aws.region}, and no folder of that name here: "
            "`python -m deploy status` lists the jobs."
        )
    if job["TrainingJobStatus"] not in ("Completed", "Stopped"):
        raise DeployError(
            f"The training job {name} is {job['TrainingJobStatus']}: wait for it by "
            f"`python -m deploy train --attach {name}`."
        )
    archive: str = job["ModelArtifacts"]["S3ModelArtifacts"]
    return archive


def _last_job(aws: Aws) -> str:
    found = aws.client("sagemaker").list_training_jobs(
        NameContains=aws.project,
        StatusEquals="Completed",
        SortBy="CreationTime",
        SortOrder="Descending",
    )["TrainingJobSummaries"]
    if aws.dry_run:
        return "LAST-JOB"
    if not found:
        raise DeployError(
            f"No training job of {aws.project} has completed in {aws.region}: run "
            "`python -m deploy train`, or name a model folder by --model."
        )
    name: str = max(found, key=lambda job: job["CreationTime"])["TrainingJobName"]
    return name


def upload_folder(aws: Aws, folder: Path) -> str:
    """Pack a model folder and upload it; the same folder gives the same bytes and the same place.

    Raises:
        DeployError: it is no model folder.
    """
    if not (folder / "1" / "saved_model.pb").is_file():
        raise DeployError(
            f"{folder} is no model folder: 1/saved_model.pb is not in it. A job's is "
            "jobs/JOB/model, that of local_test is local_test/test_dir/model."
        )
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "model.tar.gz"
        pack(folder, archive)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        key = f"models/{digest[:12]}/model.tar.gz"
        upload_file(aws, archive, key)
    return f"s3://{aws.bucket}/{key}"


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's content, without the folder, as the platform unpacks it."""
    # Without times and owners, for the same content to be the same bytes.
    with gzip.GzipFile(archive, "wb", mtime=0) as zipped, tarfile.open(None, "w", zipped) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = 0
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    # Any user of a serverless endpoint has to read it.
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry


def make(
    aws: Aws,
    source: str,
    image_uri: str | None,
    environment: dict[str, str],
    *,
    several: bool = False,
    isolation: bool = True,
) -> str:
    """Make the Model where it is missing; give its name.

    Args:
        aws: who asks.
        source: what `find` gave, or with `several` an S3 prefix of archives.
        image_uri: the image; None for what was last pushed.
        environment: variables of the container.
        several: one container for all archives below the prefix.
        isolation: no network in the container; serverless and multi-model endpoints cannot have it.
    """
    if source.startswith("arn:"):
        # The registry knows image and archive.
        container: dict[str, Any] = {"ModelPackageName": source}
    else:
        container = {"Image": image_uri or image.newest(aws), "ModelDataUrl": source}
    if several:
        container["Mode"] = "MultiModel"
    if environment:
        container["Environment"] = environment
    request = {
        "PrimaryContainer": container,
        "ExecutionRoleArn": aws.role_arn,
        "EnableNetworkIsolation": isolation and not several,
    }
    name = names.by_content(f"{aws.project}-model", request)
    client = aws.client("sagemaker")
    if or_none(client.describe_model, ModelName=name) is None:
        client.create_model(ModelName=name, **request, Tags=tags.as_list(aws.project))
    return name
