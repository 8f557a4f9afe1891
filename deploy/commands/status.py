"""`status`: all that the project has in the account."""

import click

from deploy.options import aws_command
from deploy.resources import kinds
from deploy.session import Aws


@aws_command("status", "status --region us-east-1 --project brain-tumor")
def status(aws: Aws) -> None:
    """List all that was made for the project in this region.

    It is found by its tag. What costs money by the hour is marked.
    """
    count = 0
    for kind in kinds():
        for resource in kind.find(aws):
            count += 1
            paid = "  costs money by the hour" if resource.costs else ""
            click.echo(f"{kind.name:20} {resource.name:50} {resource.status}{paid}".rstrip())
    if aws.dry_run:
        click.echo("What these calls find would be listed.")
    elif count == 0:
        click.echo(f"Nothing in {aws.region} carries the tag of the project {aws.project}.")
