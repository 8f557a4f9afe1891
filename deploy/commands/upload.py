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
    """Upload Train.zip, Val.zip and Test.zip of FOLDER.

    `brain-tumor prepare` writes them. S3 checks each part by its SHA-256; a file that is there
    already, byte for byte, is skipped. A zip that FOLDER lacks is removed from the bucket: it is of
    an earlier split.
    """
    if not (folder / CHANNELS["train"]).is_file():
        raise DeployError(
            f"There is no {CHANNELS['train']} in {folder}: make it by "
            f"`brain-tumor prepare brain-tumor-mri.zip {folder}`."
        )
    keys = {name: f"{channel_prefix(channel)}{name}" for channel, name in CHANNELS.items()}
    wanted = {name: key for name, key in keys.items() if (folder / name).is_file()}
    digests = {name: _sha256(folder / name) for name in wanted}
    new = {name: key for name, key in wanted.items() if not _is_there(aws, key, digests[name])}
    left = [key for name, key in keys.items() if name not in wanted and _head(aws, key)]
    if new or left:
        aws.confirm(_question(aws, [folder / name for name in new], left))
    # Beside the test set of another split, a training set would hold some of its scans: the old one
    # goes first, the new one comes last, and where this is cut off there is none to train on.
    train = CHANNELS["train"]
    if train in new and _head(aws, keys[train]):
        left.append(keys[train])
    _remove(aws, left)
    for name in sorted(new, key=train.__eq__):
        _send(aws, folder / name, new[name], digests[name])
    aws.tell("Next: ./build_and_push.sh brain-tumor, then python -m deploy train")


def _question(aws: Aws, new: list[Path], left: list[str]) -> str:
    bucket = f"s3://{aws.bucket}"
    told = ""
    if left:
        named = " and ".join(left)
        told = f"{named} of an earlier upload would be used beside the new zips: it is removed.\n"
    if not new:
        return f"{told}Remove?"
    names = ", ".join(path.name for path in new)
    size = sum(path.stat().st_size for path in new) / 1e6
    return f"{told}AWS bills what the bucket keeps.\nUpload {names} ({size:.1f} MB) to {bucket}?"


def _remove(aws: Aws, keys: list[str]) -> None:
    """Remove zips of an earlier upload; the bucket keeps what is removed for a while."""
    for key in keys:
        aws.client("s3").delete_object(**_place(aws, key))
        aws.tell(f"removed s3://{aws.bucket}/{key} of an earlier upload")


def channel_prefix(channel: str) -> str:
    """Where a channel's files lie in the bucket."""
    return f"data/{channel}/"


def upload_file(aws: Aws, path: Path, key: str) -> None:
    """Upload a file unless the bucket holds the same; its SHA-256 is kept beside it."""
    digest = _sha256(path)
    if not _is_there(aws, key, digest):
        _send(aws, path, key, digest)


def _is_there(aws: Aws, key: str, digest: str) -> bool:
    """Whether the bucket holds the same file, which is told."""
    held = _head(aws, key)
    same = bool(held) and held["Metadata"].get("sha256") == digest
    if same:
        click.echo(f"{key.rpartition('/')[2]} is there already (SHA-256 {digest[:12]})")
    return same


def _head(aws: Aws, key: str) -> Any:
    """Give what S3 tells of an object; None where there is none."""
    return or_none(aws.client("s3").head_object, **_place(aws, key))


def _place(aws: Aws, key: str) -> dict[str, str]:
    return {"Bucket": aws.bucket, "Key": key, "ExpectedBucketOwner": aws.account}


def _send(aws: Aws, path: Path, key: str, digest: str) -> None:
    extra = {
        "ChecksumAlgorithm": "SHA256",
        "Metadata": {"sha256": digest},
        "ExpectedBucketOwner": aws.account,
    }
    with click.progressbar(length=path.stat().st_size, label=f"{path.name:10}") as bar:
        aws.client("s3").upload_file(
            str(path), aws.bucket, key, ExtraArgs=extra, Callback=bar.update
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
