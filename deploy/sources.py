"""Which trained model a person means: that of a job, a folder, an archive or the registry."""

import gzip
import hashlib
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy import names, places, tags
from deploy.commands.upload import upload_file
from deploy.errors import DeployError, or_none
from deploy.session import Aws

HELP = (
    "A training job, a model folder of this machine, the S3 URI of a model.tar.gz, or the ARN of a "
    "model package. [default: the last job of `train` that completed]"
)


@dataclass(frozen=True)
class Source:
    """A trained model, found and not yet touched."""

    place: str
    """S3 URI of an archive, ARN of a model package, or a folder of this machine."""
    image: str | None = None
    """With which a job trained it; None where no job is known."""


def find(aws: Aws, given: str | None) -> Source:
    """Find what a person named; nothing is uploaded yet.

    Raises:
        DeployError: there is no such model.
    """
    if given and given.startswith("s3://"):
        return Source(places.readable(aws, given))
    if given and given.startswith("arn:"):
        return _approved(aws, given)
    if given and Path(given).is_dir():
        return of_folder(Path(given))
    # The user's policy allows no other name, so AWS would speak of rights.
    if given and not names.is_job(aws, given):
        raise _no_job(aws, given)
    return of_job(aws, given or _last_job(aws))


def _approved(aws: Aws, arn: str) -> Source:
    """Find a model package.

    Raises:
        DeployError: nobody has approved it.
    """
    package = or_none(aws.client("sagemaker").describe_model_package, ModelPackageName=arn)
    status = package["ModelApprovalStatus"] if package else "Approved"
    if status != "Approved":
        raise DeployError(f"The model package {arn} is {status}: approve it by `{approval(arn)}`.")
    return Source(arn)


def approval(arn: str) -> str:
    """Give the command by which a person approves a model package."""
    return (
        f"aws sagemaker update-model-package --model-package-arn {arn} "
        "--model-approval-status Approved"
    )


def of_job(aws: Aws, name: str) -> Source:
    """Find the model.tar.gz of a training job.

    Raises:
        DeployError: there is no such job, it has not ended, or it ended without a model.
    """
    job = or_none(aws.client("sagemaker").describe_training_job, TrainingJobName=name)
    if aws.dry_run:
        return Source(f"s3://{aws.bucket}/jobs/{name}/output/model.tar.gz")
    if job is None:
        raise _no_job(aws, name)
    if job["TrainingJobStatus"] not in ("Completed", "Stopped"):
        raise DeployError(
            f"The training job {name} is {job['TrainingJobStatus']}: wait for it by "
            f"`python -m deploy train --attach {name}`."
        )
    archive = job.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if not archive or (job["TrainingJobStatus"] == "Stopped" and _is_missing(aws, archive)):
        raise DeployError(
            f"The training job {name} left no model, as one that is stopped before its first epoch "
            "has ended: train again, or name another by --model."
        )
    return Source(archive, job["AlgorithmSpecification"].get("TrainingImage"))


def _no_job(aws: Aws, name: str) -> DeployError:
    return DeployError(
        f"There is no training job {name} in {aws.region}, and no folder of that name here: "
        "`python -m deploy status` lists the jobs."
    )


def _is_missing(aws: Aws, archive: str) -> bool:
    """Whether an archive should be in the project's bucket, and is not."""
    bucket, _, key = archive.removeprefix("s3://").partition("/")
    if bucket != aws.bucket:
        return False
    owner = {"ExpectedBucketOwner": aws.account}
    return or_none(aws.client("s3").head_object, Bucket=bucket, Key=key, **owner) is None


def _last_job(aws: Aws) -> str:
    """Name the last job of `train` that completed.

    Those of `tune` do not count, of which a last one is no best, nor those of a pipeline, whose
    condition they may have failed.

    Raises:
        DeployError: there is none.
    """
    pages = (
        aws.client("sagemaker")
        .get_paginator("list_training_jobs")
        .paginate(
            NameContains=aws.project,
            StatusEquals="Completed",
            SortBy="CreationTime",
            SortOrder="Descending",
        )
    )
    found = [job for page in pages for job in page["TrainingJobSummaries"]]
    if aws.dry_run:
        return "LAST-JOB"
    for job in sorted(found, key=lambda job: job["CreationTime"], reverse=True):
        if _is_of_train(aws, job):
            name: str = job["TrainingJobName"]
            return name
    raise DeployError(
        f"No training job of {aws.project} has completed in {aws.region}: run "
        "`python -m deploy train`, or name a model folder or a job, of `tune` or a pipeline too, "
        "by --model."
    )


def _is_of_train(aws: Aws, job: dict[str, Any]) -> bool:
    # The user's policy allows to read no other's.
    if not job["TrainingJobName"].startswith(f"{aws.project}-"):
        return False
    client = aws.client("sagemaker")
    described = client.describe_training_job(TrainingJobName=job["TrainingJobName"])
    held = client.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    others = "TuningJobArn" in described or tags.OF_PIPELINE in held
    return tags.marks(aws.project, held) and not others


def of_folder(folder: Path) -> Source:
    """Find the model in a folder of this machine.

    Raises:
        DeployError: it is no model folder.
    """
    if not (folder / "1" / "saved_model.pb").is_file():
        raise DeployError(
            f"{folder} is no model folder: 1/saved_model.pb is not in it. A job's is "
            "jobs/JOB/model, that of local_test is local_test/test_dir/model."
        )
    return Source(str(folder))


def store(aws: Aws, source: Source) -> str:
    """Give the S3 URI or ARN of a model; a folder is packed and uploaded for it.

    The same folder gives the same bytes and the same place.
    """
    if source.place.startswith(("s3://", "arn:")):
        return source.place
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "model.tar.gz"
        pack(Path(source.place), archive)
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
