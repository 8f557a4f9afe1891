"""Tools that are no Python packages: .ci/tools fetches them, .ci/run installs Debian's."""

import shutil

import pytest

from tests.jobs import ROOT

TOOLS = ROOT / ".tools"


def needs_tool(name: str) -> pytest.MarkDecorator:
    """Skip a test where .ci/tools did not put this file."""
    return pytest.mark.skipif(
        not (TOOLS / name).exists(), reason=f"{name} is not in .tools: run .ci/tools"
    )


def needs_command(name: str) -> pytest.MarkDecorator:
    """Skip a test where this command is not installed."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")
