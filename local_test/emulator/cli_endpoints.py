"""The commands `multi-model`, `serverless` and `pipeline`: endpoints of other kinds."""

from contextlib import ExitStack
from pathlib import Path

import click

from local_test.emulator import cli_hosting
from local_test.emulator.cli_hosting import COMMAND, FOLDER, IMAGE, MODEL, PATH, Hosting
from local_test.emulator.console import Console
from local_test.emulator.hosting.definition import model_folder, readable_folder
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.multi_model import ENVIRONMENT, MultiModel
from local_test.emulator.hosting.multi_model import LABEL as MULTI_MODEL
from local_test.emulator.hosting.pipeline import LABEL as BIND_TO_PORT
from local_test.emulator.hosting.pipeline import Pipeline, check_length, stage_port, staged
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.serverless import (
    HEALTHY_SECONDS,
    LIMITS,
    MAX_CONCURRENCY,
    MEMORY_SIZES,
    Serverless,
    ServerlessConfig,
)


@click.command("multi-model", context_settings={"show_default": True})
@IMAGE
@COMMAND
@click.option("--models", required=True, type=FOLDER, help="Archives; TargetModel is a path in it.")
@click.option("--max-models", type=click.IntRange(1), help="Unload others beyond so many.")
@cli_hosting.options
@cli_hosting.front_options
def multi_model(
    image: str | None,
    command: str | None,
    models: Path,
    max_models: int | None,
    hosting: Hosting,
    port: int,
    endpoint_name: str,
) -> None:
    """Serve the archives of a folder with IMAGE as a multi-model endpoint until Ctrl-C."""
    console = Console()
    with ExitStack() as stack:
        launcher = stack.enter_context(
            cli_hosting.launched(image, command, hosting, hosting.lifecycle(console), console)
        )
        launcher.require_label(MULTI_MODEL)
        folder = stack.enter_context(readable_folder())
        definition = hosting.definition(launcher, platform=ENVIRONMENT, folders={"models": folder})
        server = stack.enter_context(launcher.make(definition))
        target = MultiModel(
            endpoint_name, server, models, folder, most=max_models, note=console.note
        )
        cli_hosting.lead(Endpoint(endpoint_name, target), [server], port, console)


@click.command(context_settings={"show_default": True})
@click.argument("image")
@MODEL
@click.option(
    "--memory-size",
    default="2048",
    type=click.Choice([str(size) for size in MEMORY_SIZES]),
    help="MemorySizeInMB; processors grow with it.",
)
@click.option("--max-concurrency", default=5, type=click.IntRange(1, MAX_CONCURRENCY))
@click.option("--tmp-mb", default=512, help="Size of /tmp, which counts as memory here.")
@click.option("--idle", type=float, help="End the container after these seconds without a call.")
@cli_hosting.serverless_options
@cli_hosting.front_options
def serverless(
    image: str,
    model: Path | None,
    memory_size: str,
    max_concurrency: int,
    tmp_mb: int,
    idle: float | None,
    hosting: Hosting,
    port: int,
    endpoint_name: str,
) -> None:
    """Serve IMAGE as a serverless endpoint until Ctrl-C; each cold start is timed."""
    console = Console()
    config = ServerlessConfig(int(memory_size), max_concurrency, tmp_mb)
    with ExitStack() as stack:
        lifecycle = hosting.lifecycle(console, min(hosting.healthy_timeout, HEALTHY_SECONDS))
        launcher = stack.enter_context(
            cli_hosting.launched(image, None, hosting, lifecycle, console)
        )
        folders = stack.enter_context(model_folder(model))

        def make() -> Server:
            options = config.options(launcher.cpus())
            memory = f"{config.memory_mb}m"
            return launcher.make(
                hosting.definition(launcher, folders=folders, memory=memory, options=options)
            )

        target = stack.enter_context(
            Serverless(make, config.concurrency, idle=idle, note=console.note)
        )
        cli_hosting.lead(Endpoint(endpoint_name, target, LIMITS), [], port, console)


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1)
@click.option("--command", "commands", multiple=True, help="In place of images; repeat it.")
@click.option(
    "--model",
    "models",
    multiple=True,
    type=PATH,
    help="Of each container in turn; an empty folder for none; without any, none has one.",
)
@cli_hosting.options
@cli_hosting.front_options
def pipeline(
    images: tuple[str, ...],
    commands: tuple[str, ...],
    models: tuple[Path, ...],
    hosting: Hosting,
    port: int,
    endpoint_name: str,
) -> None:
    """Serve IMAGES one after the other: what one answers is what the next is asked."""
    names = images or commands
    if images and commands:
        raise click.UsageError("Give images, or --command for installed packages.")
    check_length(len(names))
    if models and len(models) != len(names):
        raise click.UsageError(f"{len(models)} times --model for {len(names)} containers.")
    console = Console(several_hosts=True)
    with ExitStack() as stack:
        lifecycle = hosting.lifecycle(console)
        image, command = (names[0], None) if images else (None, names[0])
        first = stack.enter_context(
            cli_hosting.launched(image, command, hosting, lifecycle, console)
        )
        # All of them before the first is started, which may take minutes.
        launchers = [first, *map(first.beside, names[1:])]
        for launcher in launchers:
            launcher.require_label(BIND_TO_PORT)
        servers: list[Server] = []
        for rank, launcher in enumerate(launchers):
            folders = stack.enter_context(model_folder(models[rank] if models else None))
            definition = hosting.definition(launcher, stage_port(rank), folders=folders)
            servers.append(stack.enter_context(launcher.make(staged(definition, rank))))
        cli_hosting.lead(Endpoint(endpoint_name, Pipeline(servers)), servers, port, console)
