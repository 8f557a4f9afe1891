"""The `serve` command: checks what can be checked at once, then becomes gunicorn."""

import os
import sys

from brain_tumor import artifact
from brain_tumor.errors import BrainTumorError
from brain_tumor.settings import load_settings


def main() -> None:
    """Replace this process by gunicorn, so that PID 1 is the one that gets SIGTERM.

    Exits with 1 and a sentence when a setting or the model folder cannot be used.
    """
    try:
        artifact.load_info(load_settings().model_dir)
    except BrainTumorError as error:
        sys.exit(f"serve: {error}")
    arguments = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:brain_tumor.serving.gunicorn_conf",
        "brain_tumor.serving.app:create_app()",
    ]
    os.execv(sys.executable, arguments)  # noqa: S606 - no shell, and nothing from outside in it
