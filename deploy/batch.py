"""The files of a batch transform: sent under numbers, their answers brought home by their names.

File names are often patients', and what is a name in S3 stands in access logs, too. Which number is
which file is told by a table beside the answers.
"""

import json
import uuid
from pathlib import Path
from typing import Any

import click

from deploy.errors import DeployError
from deploy.session import Aws

# What file managers leave in a folder of scans; one such file would fail the whole job.
_LITTER = ("thumbs.db", "desktop.ini")
_MOST_NAMED = 20


def find(source: Path, out: Path) -> list[Path]:
    """Give a file, or the files of a folder and its subfolders.

    Hidden ones are left out and told, and what lies in `out`, the answers of earlier jobs.

    Raises:
        DeployError: there is none, or answers would come to lie among the files.
    """
    if not source.exists():
        raise DeployError(f"There is no {source} here: name a folder, a file, or s3://BUCKET/….")
    if source.is_file():
        return [source]
    answers = out.resolve()
    if answers == source.resolve():
        raise DeployError(f"The answers would lie among the files of {source}: give another --out.")
    held = [path for path in sorted(source.rglob("*")) if path.is_file()]
    if answers.is_relative_to(source.resolve()):
        held = [path for path in held if not path.resolve().is_relative_to(answers)]
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
    """Upload the files of `source`, and write the table into `folder`; give the S3 prefix.

    Prefix and table are named anew each time: of a job that AWS refused nothing is left in those
    of the next.
    """
    top = source if source.is_dir() else source.parent
    table = {f"{place:06}": path.relative_to(top).as_posix() for place, path in enumerate(files)}
    prefix = f"transforms/{job}/input-{uuid.uuid4().hex[:12]}"
    client = aws.client("s3")
    with click.progressbar(table.items(), label="upload") as bar:
        for number, name in bar:
            owner = {"ExpectedBucketOwner": aws.account}
            client.upload_file(str(top / name), aws.bucket, f"{prefix}/{number}", ExtraArgs=owner)
    uri = f"s3://{aws.bucket}/{prefix}/"
    if not aws.dry_run:
        folder.mkdir(parents=True, exist_ok=True)
        _table(folder, uri).write_text(json.dumps(table, indent=2, ensure_ascii=False))
    return uri


def _table(folder: Path, uri: str) -> Path:
    """Give the file that tells which number is which file of an input prefix."""
    return folder / f"{uri.rstrip('/').rpartition('/')[2]}.json"


def bring_home(aws: Aws, job: dict[str, Any], folder: Path) -> int:
    """Download a job's answers as FILE.out, and name the files that have none; give their number.

    The job is as DescribeTransformJob describes it.
    """
    source = job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    file = _table(folder, source)
    # Files that lay in S3 have names of their own.
    table: dict[str, str] = json.loads(file.read_text()) if file.is_file() else {}
    bucket, prefix = _split(job["TransformOutput"]["S3OutputPath"].rstrip("/") + "/")
    answered = set()
    for key in _keys(aws, bucket, prefix):
        name = key.removeprefix(prefix).removesuffix(".out")
        # AWS's documents leave open whether a folder of the input's name comes before it.
        number = name.rpartition("/")[2]
        name = number if number in table else name
        answered.add(name)
        target = folder / f"{table.get(name, name)}.out"
        target.parent.mkdir(parents=True, exist_ok=True)
        aws.client("s3").download_file(bucket, key, str(target))
    click.echo(f"{len(answered)} answers in {folder}/")
    missing = [name for name in _asked(aws, source, answered) if name not in answered]
    _tell_missing([f"{table[name]} ({name})" if name in table else name for name in missing])
    return len(answered)


def _asked(aws: Aws, uri: str, answered: set[str]) -> list[str]:
    """Name the files of an input prefix as their answers are named.

    For a prefix without / at its end AWS's documents leave open whether the answers' names begin
    after it or after its last /: that way counts by which more have an answer.
    """
    bucket, prefix = _split(uri)
    keys = _keys(aws, bucket, prefix)
    ways = [
        [key.removeprefix(start).lstrip("/") or key.rpartition("/")[2] for key in keys]
        for start in (prefix, prefix[: prefix.rfind("/") + 1])
    ]
    return max(ways, key=lambda names: len(answered.intersection(names)))


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _keys(aws: Aws, bucket: str, prefix: str) -> list[str]:
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
    # One with / at its end is the console's mark of a folder.
    return [key for key in keys if not key.endswith("/")]


def _tell_missing(missing: list[str]) -> None:
    for name in missing[:_MOST_NAMED]:
        click.echo(f"no answer: {name}", err=True)
    if len(missing) > _MOST_NAMED:
        click.echo(f"no answer: {len(missing) - _MOST_NAMED} more", err=True)
