"""What every command has in common: --profile, --region, --project, --dry-run, --yes, examples."""

import functools
from collections.abc import Callable
from typing import Any

import click

from deploy.session import Aws

_SHARED = (
    click.option("--profile", help="Profile of ~/.aws to use. [default: AWS_PROFILE, or default]"),
    click.option(
        "--region",
        # boto3 reads the second alone, though every other tool of AWS reads the first.
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        help="Region, such as eu-central-1. [default: AWS_REGION, or the profile's]",
    ),
    click.option(
        "--project",
        default="brain-tumor",
        show_default=True,
        help="First part of every name, and the tag by which `status` and `delete` find things.",
    ),
    click.option("--dry-run", is_flag=True, help="Print each call to AWS and make none."),
    click.option("--yes", is_flag=True, help="Ask nothing."),
)


def aws_command(
    *examples: str, name: str | None = None
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command of a function whose first argument is an `Aws`; its docstring is the help.

    Args:
        examples: command lines without `python -m deploy`, shown below the help.
        name: name of the command, where it is not the function's.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            *, profile: str, region: str, project: str, dry_run: bool, yes: bool, **own: Any
        ) -> None:
            function(Aws(profile, region, project, dry_run=dry_run, assume_yes=yes), **own)

        lines = [f"  python -m deploy {example}" for example in examples]
        command = click.command(
            name or function.__name__,
            epilog="\b\nExamples:\n" + "\n".join(lines),
            context_settings={"max_content_width": 100},
        )(run)
        # Those of the command come first in its help.
        for option in _SHARED:
            option(command)
        return command

    return decorate
