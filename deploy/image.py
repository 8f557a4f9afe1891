"""The image: which one is meant, and what it tells about itself."""

import difflib
import json
import operator
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from deploy.errors import DeployError, or_none
from deploy.session import Aws


def newest(aws: Aws) -> str:
    """Give the digest URI of what was last pushed to the project's repository.

    Raises:
        DeployError: nothing was.
    """
    client = aws.client("ecr")
    named = {"repositoryName": aws.project}
    pages = or_none(lambda: list(client.get_paginator("describe_images").paginate(**named))) or []
    images = [image for page in pages for image in page["imageDetails"]]
    if aws.dry_run:
        return f"{aws.account}.dkr.ecr.{aws.region}.amazonaws.com/{aws.project}:latest"
    if not images:
        raise DeployError(
            f"The repository {aws.project} in {aws.region} holds no image: run "
            f"`./build_and_push.sh {aws.project} --region {aws.region}`, or name one by --image."
        )
    found = client.describe_repositories(repositoryNames=[aws.project])["repositories"]
    last = max(images, key=lambda image: image["imagePushedAt"])
    return f"{found[0]['repositoryUri']}@{last['imageDigest']}"


def read_answer(file: Path) -> Any:
    """Read what an image once answered in JSON."""
    return _parse(file.read_text(), str(file))


def ask(image: str, words: list[str], option: str) -> Any:
    """Ask the image by `docker run`; the words come after `brain-tumor`.

    The option is the one that takes a file with the answer, where there is no Docker.
    """
    # Nothing is fetched: 1.5 GB, only to ask.
    command = ["docker", "run", "--rm", "--network=none", "--pull=never", image, "brain-tumor"]
    try:
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployError(_cannot_ask(image, words, option, str(error))) from error
    if done.returncode:
        # Its first line tells; below it Docker points to its help.
        cause = done.stderr.strip().partition("\n")[0]
        raise DeployError(_cannot_ask(image, words, option, cause))
    return _parse(done.stdout, image)


def _cannot_ask(image: str, words: list[str], option: str, cause: str) -> str:
    return (
        f"Docker cannot ask the image {image} here ({cause}): name one that it has, such as "
        "brain-tumor, by --ask; or where Docker has one run `docker run --rm IMAGE brain-tumor "
        f"{' '.join(words)} > answer.json` and give {option} answer.json."
    )


def _parse(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DeployError(f"What {source} holds is not JSON ({error}).") from error


def check_hyperparameters(schema: dict[str, Any], given: dict[str, str]) -> None:
    """Refuse what the image would refuse, before it costs money: unknown names, bad values."""
    for name, value in given.items():
        # The image takes underscores for dashes.
        dashed = name.replace("_", "-")
        check_known(schema, dashed)
        check_value(dashed, schema["properties"][dashed], value)


def check_known(schema: dict[str, Any], name: str) -> None:
    """Refuse a name that the image has no hyperparameter for."""
    known = schema["properties"]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known)}."
        raise DeployError(f"The image knows no hyperparameter {name!r}: {hint}")


_LIMITS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("minimum", operator.ge, "at least"),
    ("exclusiveMinimum", operator.gt, "more than"),
    ("maximum", operator.le, "at most"),
    ("exclusiveMaximum", operator.lt, "less than"),
)


def check_value(name: str, field: dict[str, Any], value: str) -> None:
    """Refuse a value that is not among the field's values, no number, or out of its range."""
    wanted = None
    if "enum" in field and value not in field["enum"]:
        wanted = f"one of {', '.join(field['enum'])}"
    elif field.get("type") in ("integer", "number"):
        wanted = _wanted_number(field, value)
    if wanted:
        raise DeployError(f"Hyperparameter {name} cannot be {value!r}: wanted {wanted}.")


def _wanted_number(field: dict[str, Any], value: str) -> str | None:
    whole = field["type"] == "integer"
    try:
        number = int(value) if whole else float(value)
    except ValueError:
        return "a whole number" if whole else "a number"
    for limit, holds, words in _LIMITS:
        if limit in field and not holds(number, field[limit]):
            return f"{words} {field[limit]}"
    return None


def parse_settings(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, str]:
    """Turn `-s name=value` options into a dictionary; a callback of click."""
    pairs = [pair.partition("=") for pair in given]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} has no '=': wanted name=value")
    return {name: value for name, _, value in pairs}
