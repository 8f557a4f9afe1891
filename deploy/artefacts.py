"""What a job leaves in the bucket, brought home and unpacked."""

import tarfile
from pathlib import Path
from typing import Any

import click

from deploy.errors import DeployError, or_none
from deploy.session import Aws

# Name in the bucket, and the folder into which it is unpacked.
_ARCHIVES = {"model.tar.gz": "model", "output.tar.gz": "output"}


def bring_home(aws: Aws, job: dict[str, Any], folder: Path) -> None:
    """Download a training job's model.tar.gz and output.tar.gz, and unpack them.

    The job is as DescribeTrainingJob describes it; the folder gets both archives, `model/` and
    `output/`. One that was stopped before it trained has none, which is told.
    """
    archive: str = job.get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
    fetched = archive and [
        name for name in _ARCHIVES if _fetch(aws, archive.rpartition("/")[0], name, folder)
    ]
    if not fetched:
        click.echo(
            f"{job['TrainingJobName']} left nothing to bring home: it was stopped before it had "
            "trained, as when no spot machine was free in time."
        )


def _fetch(aws: Aws, place: str, name: str, folder: Path) -> bool:
    """Download and unpack one archive below an S3 URI; whether there is one."""
    bucket, _, key = f"{place}/{name}".removeprefix("s3://").partition("/")
    client = aws.client("s3")
    # A job that wrote no output has no archive of it.
    held = or_none(client.head_object, Bucket=bucket, Key=key)
    if held is None:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    with click.progressbar(length=held["ContentLength"], label=f"{name:14}") as bar:
        client.download_file(bucket, key, str(folder / name), Callback=bar.update)
    target = folder / _ARCHIVES[name]
    unpack(folder / name, target)
    click.echo(f"{target}/")
    return True


def unpack(archive: Path, folder: Path) -> None:
    """Unpack what a job wrote; nothing of it may land outside of the folder.

    Raises:
        DeployError: it is damaged, or names a path outside of the folder.
    """
    try:
        with tarfile.open(archive) as tar:
            # The filter is what makes it safe.
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DeployError(f"{archive} cannot be unpacked: {error}") from error
