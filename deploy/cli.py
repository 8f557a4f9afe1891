"""The command `python -m deploy`: a list of commands, and errors turned into one sentence."""

from typing import Any

import click

from deploy.commands import (
    cost,
    delete,
    endpoint,
    iam,
    pipeline,
    predict,
    register,
    setup,
    status,
    train,
    transform,
    tune,
    upload,
)
from deploy.errors import explain

COMMANDS = (
    iam.iam,
    setup.setup,
    upload.upload,
    train.train,
    tune.tune,
    endpoint.endpoint,
    predict.predict,
    transform.transform,
    register.register,
    pipeline.pipeline,
    cost.cost,
    status.status,
    delete.delete,
)


class _Group(click.Group):
    """Shows commands in the order of the road, and what a person can mend as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        # click's own go on, and what it ends without a word: `| head` reads no further.
        # The sentence of any other is looked up, and a fault of ours has none.
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            sentence = explain(error)
            if sentence is None:
                raise
            raise click.ClickException(sentence) from error


@click.group(cls=_Group)
def main() -> None:
    """Train, deploy, watch and delete on AWS what this project's image does.

    The road: iam, setup, upload, train, endpoint, predict, delete. Each command has --help with
    examples, asks before it costs money, can run again after a failure, and shows with --dry-run
    the calls that it would make.
    """


for _command in COMMANDS:
    main.add_command(_command)
