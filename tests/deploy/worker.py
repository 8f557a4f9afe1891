"""`python -m deploy` in a process that lives on: SageMaker's SDK takes 3 s to import.

It runs in .venv-deploy, where nothing of the tests' environment is. A line of JSON comes in for
each command, and one goes out.
"""

import functools
import json
import os
import sys

from botocore import loaders
from click.testing import CliRunner

from deploy.cli import main


def serve() -> None:
    """Run commands until there are no more; each has the environment that comes with it."""
    # As in conftest.py: half of a command's time is botocore's JSON.
    loaders.create_loader = functools.cache(loaders.create_loader)
    for line in sys.stdin:
        command = json.loads(line)
        os.environ.clear()
        os.environ.update(command["environment"])
        result = CliRunner().invoke(main, command["words"], input=command["answer"])
        told = {
            "exit_code": result.exit_code,
            "output": result.output,
            "exception": repr(result.exception),
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    serve()
