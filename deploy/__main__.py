"""`python -m deploy`: what it needs is looked at first, to be told in one sentence."""

import sys


def _run() -> None:
    # Whatever Python a person has runs this.
    if sys.version_info < (3, 11):  # noqa: UP036
        sys.exit(f"Error: Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    from deploy.errors import explain

    try:
        from deploy.cli import main
    except ModuleNotFoundError as error:
        told = explain(error)
        if told is None:
            raise
        sys.exit(f"Error: {told}")
    main(prog_name="python -m deploy")


_run()
