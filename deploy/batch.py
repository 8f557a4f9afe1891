"""The files of a batch transform: sent under numbers, their answers brought home by their names.

File names are often patients', and what is a name in S3 stands in access logs, too. Which number is
which file is told by a table beside the answers.
"""

import json
from pathlib import Path
from typing import Any

import click

from deploy.errors import DeployError
from deploy.session import Aws

_TABLE = "files.json"
# What file managers leave in a folder of scans; one such file would fail the whole job.
_LITTER = ("thumbs.db", "desktop.ini")
_MOST_NAMED = 20


def find(source: Path) -> list[Path]:
    """Give a file, or the files of a folder and its subfolders; hidden ones are left out and told.

    Raises:
        DeployError: there is none.
    """
    if not source.exists():
        raise DeployError(f"There is no {source} here: name a folder, a file, or s3://BUCKET/….")
    if source.is_file():
        return [source]
    held = [path for path in sorted(source.rglob("*")) if path.is_file()]
    files = [path for path in held if not _is_litter(path.relative_to(source))]
    if len(files) < len(held):
        click.echo(f"skipped {len(held) - len(files)} hidden files of {source}")
    if not files:
        raise DeployError(f"There is no file in {source}.")
    return files


def _is_litter(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return hidden or path.name.lower() in _LITTER


def upload(aws: Aws, source: Path, files: list[Path], job: str, folder: Path) -> str:
    """Upload the files of `source`, and write the table into `folder`; give the S3 prefix."""
    top = source if source.is_dir() else source.parent
    table = {f"{place:06}": path.relative_to(top).as_posix() for place, path in enumerate(files)}
    if not aws.dry_run:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _TABLE).write_text(json.dumps(table, indent=2, ensure_ascii=False))
    prefix = f"transforms/{job}/input"
    client = aws.client("s3")
    with click.progressbar(table.items(), label="upload") as bar:
        for number, name in bar:
            owner = {"ExpectedBucketOwner": aws.account}
            client.upload_file(str(top / name), aws.bucket, f"{prefix}/{number}", ExtraArgs=owner)
    return f"s3://{aws.bucket}/{prefix}"


def bring_home(aws: Aws, job: dict[str, Any], folder: Path) -> None:
    """Download a job's answers as FILE.out, and name the files that have none.

    The job is as DescribeTransformJob describes it.
    """
    table = _table(folder)
    asked = _below(aws, job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    answered = set()
    for answer, key in _below(aws, job["TransformOutput"]["S3OutputPath"]).items():
        name = answer.removesuffix(".out")
        # AWS's documents leave open whether a folder of the input's name comes before it.
        number = name.rpartition("/")[2]
        name = number if number in table else name
        answered.add(name)
        target = folder / f"{table.get(name, name)}.out"
        target.parent.mkdir(parents=True, exist_ok=True)
        aws.client("s3").download_file(aws.bucket, key, str(target))
    click.echo(f"{len(answered)} answers in {folder}/")
    missing = [name for name in asked if name not in answered]
    _tell_missing([f"{table[name]} ({name})" if name in table else name for name in missing])


def _below(aws: Aws, uri: str) -> dict[str, str]:
    """Give the key of each file below an S3 prefix by its place below it."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    return {
        key.removeprefix(prefix).lstrip("/") or key.rpartition("/")[2]: key
        for key in keys
        # The console's mark of a folder.
        if not key.endswith("/")
    }


def _table(folder: Path) -> dict[str, str]:
    """Read which number is which file; empty where the files lay in S3, with names of their own."""
    file = folder / _TABLE
    table: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    return table


def _tell_missing(missing: list[str]) -> None:
    for name in missing[:_MOST_NAMED]:
        click.echo(f"no answer: {name}", err=True)
    if len(missing) > _MOST_NAMED:
        click.echo(f"no answer: {len(missing) - _MOST_NAMED} more", err=True)
