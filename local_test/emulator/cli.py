"""The command line: one command a kind of work, and one sentence for what cannot be done."""

from typing import Any

import click
from docker.errors import DockerException

from local_test.emulator.cli_check import check
from local_test.emulator.cli_endpoints import multi_model, pipeline, serverless
from local_test.emulator.cli_serve import asynchronous, serve
from local_test.emulator.cli_train import train
from local_test.emulator.cli_transform import transform
from local_test.emulator.errors import EmulatorError


class _Group(click.Group):
    """Turns our errors into one sentence on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        # DockerException: what the engine refuses, such as a memory limit; its text says why.
        except (EmulatorError, OSError, DockerException) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group)
def main() -> None:
    """Run an image as Amazon SageMaker does, on this machine and without an AWS account."""


_COMMANDS = (train, serve, asynchronous, multi_model, serverless, pipeline, transform, check)
for command in _COMMANDS:
    main.add_command(command)
