"""What commands are given: an image on an engine, or a command in its place."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from local_test.emulator.console import Console
from local_test.emulator.engine import Engine
from local_test.emulator.interrupts import Interrupts


def check_given(image: str | None, command: str | None) -> None:
    """Refuse neither and both.

    Raises:
        click.UsageError: One of them has to be given.
    """
    if bool(image) == bool(command):
        raise click.UsageError("Give an IMAGE, or --command for an installed package.")


@contextmanager
def engine_for(image: str, console: Console) -> Iterator[Engine]:
    """Give the engine that has an image; signals end the block.

    Raises:
        EmulatorError: No engine answers, or it cannot run the image.
    """
    interrupts = Interrupts()
    with interrupts.caught(), Engine(interrupts) as engine:
        for note in engine.check_image(image):
            console.note(note)
        yield engine
