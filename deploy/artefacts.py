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
    `output/`.
    """
    bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
    client = aws.client("s3")
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in _ARCHIVES.items():
        place = {"Bucket": bucket, "Key": key.rsplit("/", 1)[0] + f"/{name}"}
        # A job that wrote no output has no archive of it.
        held = or_none(client.head_object, **place)
        if held is None:
            continue
        with click.progressbar(length=held["ContentLength"], label=f"{name:14}") as bar:
            client.download_file(
                place["Bucket"], place["Key"], str(folder / name), Callback=bar.update
            )
        unpack(folder / name, folder / target)
        click.echo(f"{folder / target}/")


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
