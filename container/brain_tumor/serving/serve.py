"""The `serve` command: checks what can be checked at once, then is gunicorn."""

import sys

from gunicorn.app.wsgiapp import WSGIApplication

from brain_tumor import artifact
from brain_tumor.errors import BrainTumorError
from brain_tumor.settings import load_settings


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
    sys.argv = [
        "gunicorn",
        "--config",
        "python:brain_tumor.serving.gunicorn_conf",
        "brain_tumor.serving.app:create_app()",
    ]
    WSGIApplication("%(prog)s").run()
