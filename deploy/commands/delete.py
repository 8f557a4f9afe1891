"""`delete`: removes all that the project has in the account, in an order that AWS allows."""

import click

from deploy.errors import KeptError, explain
from deploy.options import aws_command
from deploy.resources import Kind, Resource, kinds, working_kinds
from deploy.session import Aws


@aws_command(
    "delete", "delete --keep bucket --keep repository", "delete --with-user --profile admin"
)
@click.option(
    "--keep",
    multiple=True,
    metavar="KIND",
    help="Leave this kind, as `status` names it; can be given several times.",
)
@click.option("--with-user", is_flag=True, help="Also what an administrator made by `iam`.")
def delete(aws: Aws, keep: tuple[str, ...], with_user: bool) -> None:
    """Remove all that `status` lists.

    Endpoints go first, the bucket with every version of every file. It shows the list and asks
    before anything is removed. While an endpoint or a job is left, what
    it needs stays: run it again after a failure.
    """
    known = [kind.name for kind in kinds()]
    wrong = [name for name in keep if name not in known]
    if wrong:
        raise click.UsageError(f"--keep {wrong[0]!r} is no kind: choose of {', '.join(known)}.")
    chosen = [kind for kind in kinds(with_user=with_user) if kind.name not in keep]
    found = [(kind, resource) for kind in chosen for resource in kind.find(aws)]
    for kind, resource in found:
        click.echo(f"{kind.name:20} {resource.name}")
    if not found:
        click.echo("Nothing to delete." if not aws.dry_run else "What these calls find would go.")
        return
    aws.confirm(f"Delete these {len(found)}, for good?")
    left = _remove_all(aws, found)
    if not with_user:
        click.echo("What `iam` made stays: an administrator removes it by --with-user.")
    if left:
        raise click.ClickException(f"{left} of {len(found)} are still there.")


def _remove_all(aws: Aws, found: list[tuple[Kind, Resource]]) -> int:
    """Remove all; what endpoints and jobs need, only once they are gone. Count what is left."""
    working = [kind.name for kind in working_kinds()]
    at_work = [item for item in found if item[0].name in working]
    needed = [item for item in found if item[0].name not in working]
    left = sum(not _remove(aws, *item) for item in at_work)
    if left:
        for kind, resource in needed:
            click.echo(f"kept {kind.name} {resource.name}: what is left above needs it", err=True)
        return left + len(needed)
    return sum(not _remove(aws, *item) for item in needed)


def _remove(aws: Aws, kind: Kind, resource: Resource) -> bool:
    """Remove one and tell how it went; whether that is all that can be done about it."""
    try:
        kind.remove(aws, resource)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        click.echo(f"kept {kind.name} {resource.name}: {sentence}", err=True)
        return isinstance(error, KeptError)
    click.echo(f"deleted {kind.name} {resource.name}")
    return True
