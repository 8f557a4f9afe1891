"""`upload`: Train.zip, Val.zip and Test.zip into the bucket, a folder a channel."""

import hashlib
from pathlib import Path
from typing import Any

import click

from deploy.errors import DeployError, or_none
from deploy.options import aws_command
from deploy.session import Aws

CHANNELS = {"train": "Train.zip", "val": "Val.zip", "test": "Test.zip"}


@aws_command("upload prepared", "upload prepared --dry-run")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def upload(aws: Aws, folder: Path) -> None:
    """Upload Train.zip, Val.zip and Test.zip of FOLDER, as `brain-tumor prepare` writes them.

    S3 checks each part by its SHA-256; a file that is there already, byte for byte, is skipped.
    A zip that FOLDER lacks is removed from the bucket: it is of an earlier split.
    """
    if not (folder / CHANNELS["train"]).is_file():
        raise DeployError(
            f"There is no {CHANNELS['train']} in {folder}: make it by "
            f"`brain-tumor prepare brain-tumor-mri.zip {folder}`."
        )
    # First: beside the test set of an earlier split, a training set would hold some of its scans.
    keys = {name: f"{channel_prefix(channel)}{name}" for channel, name in CHANNELS.items()}
    _remove_left(aws, [key for name, key in keys.items() if not (folder / name).is_file()])
    for name, key in keys.items():
        if (folder / name).is_file():
            upload_file(aws, folder / name, key)
    click.echo("Next: ./build_and_push.sh brain-tumor, then python -m deploy train")


def _remove_left(aws: Aws, keys: list[str]) -> None:
    """Remove zips of an earlier upload; the bucket keeps what is removed for a while."""
    client = aws.client("s3")
    places = [
        {"Bucket": aws.bucket, "Key": key, "ExpectedBucketOwner": aws.account} for key in keys
    ]
    left = [place for place in places if or_none(client.head_object, **place)]
    if left:
        named = " and ".join(place["Key"] for place in left)
        aws.confirm(f"{named} of an earlier upload would be used beside the new zips. Remove?")
    for place in left:
        client.delete_object(**place)
        click.echo(f"removed s3://{aws.bucket}/{place['Key']} of an earlier upload")


def channel_prefix(channel: str) -> str:
    """Where a channel's files lie in the bucket."""
    return f"data/{channel}/"


def upload_file(aws: Aws, path: Path, key: str) -> None:
    """Upload a file unless the bucket holds the same; its SHA-256 is kept beside it."""
    client = aws.client("s3")
    digest = _sha256(path)
    place = {"Bucket": aws.bucket, "Key": key, "ExpectedBucketOwner": aws.account}
    there = or_none(client.head_object, **place)
    if there and there["Metadata"].get("sha256") == digest:
        click.echo(f"{path.name} is there already (SHA-256 {digest[:12]})")
        return
    _send(client, path, place, digest)


def _send(client: Any, path: Path, place: dict[str, str], digest: str) -> None:
    extra = {
        "ChecksumAlgorithm": "SHA256",
        "Metadata": {"sha256": digest},
        "ExpectedBucketOwner": place["ExpectedBucketOwner"],
    }
    with click.progressbar(length=path.stat().st_size, label=f"{path.name:10}") as bar:
        client.upload_file(
            str(path), place["Bucket"], place["Key"], ExtraArgs=extra, Callback=bar.update
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
