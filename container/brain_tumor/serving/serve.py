"""The `serve` command: checks what can be checked at once, then is gunicorn."""

import ctypes
import sys
from contextlib import suppress

from gunicorn.app.wsgiapp import WSGIApplication

from brain_tumor import artifact
from brain_tumor.errors import BrainTumorError
from brain_tumor.settings import load_settings

_M_ARENA_MAX = -8
"""Of glibc's <malloc.h>."""
_HEAPS = 2
"""glibc gives a thread that finds the others busy a heap of its own, up to eight a core, and a heap
keeps what was freed in it: with fifty threads a twentieth of all memory."""


def main() -> None:
    """Run gunicorn in this process: PID 1 gets SIGTERM, and nothing is imported twice.

    Exits with 1 and a sentence when a setting or the model folder cannot be used.
    """
    try:
        settings = load_settings()
        # A multi-model endpoint gets its models later, by POST /models.
        if not settings.multi_model:
            artifact.load_info(settings.model_dir)
    except BrainTumorError as error:
        sys.exit(f"serve: {error}")
    limit_heaps()
    sys.argv = [
        "gunicorn",
        "--config",
        "python:brain_tumor.serving.gunicorn_conf",
        "brain_tumor.serving.app:create_app()",
    ]
    WSGIApplication("%(prog)s").run()


def limit_heaps() -> None:
    """Let all threads of this process share two heaps; call it before there are others."""
    # Other C libraries have no such setting.
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS)
