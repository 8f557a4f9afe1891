"""The commands `serve` and `async`: an endpoint of one container, on a loopback port."""

import time
from contextlib import ExitStack
from pathlib import Path

import click

from local_test.emulator import cli_hosting
from local_test.emulator.cli_hosting import COMMAND, FOLDER, IMAGE, MODEL, Hosting
from local_test.emulator.console import Console
from local_test.emulator.hosting.asynchronous import MAX_INPUT, AsyncConfig, AsyncInvocations
from local_test.emulator.hosting.bucket import Buckets
from local_test.emulator.hosting.definition import model_folder
from local_test.emulator.hosting.endpoint import Endpoint, Limits
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import Single


def _started(
    stack: ExitStack,
    image: str | None,
    command: str | None,
    model: Path | None,
    hosting: Hosting,
    console: Console,
) -> Server:
    """Start the one container, healthy when this returns."""
    launcher = stack.enter_context(
        cli_hosting.launched(image, command, hosting, hosting.lifecycle(console), console)
    )
    folders = stack.enter_context(model_folder(model))
    start = time.monotonic()
    server = stack.enter_context(launcher.make(hosting.definition(launcher, folders=folders)))
    console.note(f"healthy after {time.monotonic() - start:.1f} s")
    return server


@click.command(context_settings={"show_default": True})
@IMAGE
@COMMAND
@MODEL
@cli_hosting.options
@cli_hosting.front_options
@click.option(
    "--payload-limit-mb", default=25.0, help="For requests and answers: 25, or 6 as the API says."
)
@click.option("--timeout", default=60.0, help="Seconds for an answer; the platform's 60.")
def serve(
    image: str | None,
    command: str | None,
    model: Path | None,
    hosting: Hosting,
    port: int,
    endpoint_name: str,
    payload_limit_mb: float,
    timeout: float,
) -> None:
    """Serve IMAGE as a real-time endpoint until Ctrl-C; print the URL for boto3."""
    console = Console()
    with ExitStack() as stack:
        server = _started(stack, image, command, model, hosting, console)
        limits = Limits(timeout, payload=cli_hosting.payload_bytes(payload_limit_mb))
        endpoint = Endpoint(endpoint_name, Single(server), limits)
        cli_hosting.lead(endpoint, [server], port, console)


@click.command("async", context_settings={"show_default": True})
@IMAGE
@COMMAND
@MODEL
@cli_hosting.options
@cli_hosting.front_options
@click.option(
    "--s3",
    default="emulator-out/s3",
    type=FOLDER,
    help="Stands for S3: s3://BUCKET/KEY is the file BUCKET/KEY in it.",
)
@click.option("--output", default="s3://emulator/async/output", help="S3OutputPath.")
@click.option("--failure", default="s3://emulator/async/failure", help="S3FailurePath.")
@click.option(
    "--notifications",
    default="emulator-out/notifications",
    type=FOLDER,
    help="Stands for SNS: success/ID.json and error/ID.json come into it.",
)
@click.option("--max-concurrent", default=4, type=click.IntRange(1, 1000))
def asynchronous(
    image: str | None,
    command: str | None,
    model: Path | None,
    hosting: Hosting,
    port: int,
    endpoint_name: str,
    s3: Path,
    output: str,
    failure: str,
    notifications: Path,
    max_concurrent: int,
) -> None:
    """Serve IMAGE as an asynchronous endpoint until Ctrl-C; print the URL for boto3."""
    console = Console()
    config = AsyncConfig(Buckets(s3), notifications, output, failure, max_concurrent)
    with ExitStack() as stack:
        server = _started(stack, image, command, model, hosting, console)
        endpoint = Endpoint(endpoint_name, Single(server), Limits(payload=MAX_INPUT))
        calls = stack.enter_context(AsyncInvocations(endpoint, config))
        cli_hosting.lead(endpoint, [server], port, console, calls)
