"""Tools that are no Python packages: .ci/tools fetches them, .ci/run installs Debian's."""

import shutil

import pytest

from tests.jobs import ROOT, SDK

TOOLS = ROOT / ".tools"


def needs_tool(name: str) -> pytest.MarkDecorator:
    """Skip a test where .ci/tools did not put this file."""
    return pytest.mark.skipif(
        not (TOOLS / name).exists(), reason=f"{name} is not in .tools: run .ci/tools"
    )


def needs_command(name: str) -> pytest.MarkDecorator:
    """Skip a test where this command is not installed."""
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def no_sdk() -> str:
    """Tell why there is no SageMaker SDK; nothing where there is one."""
    return "" if SDK.is_file() else "no .venv-deploy, which holds the SDK: tests/run.sh makes it"


needs_sdk = pytest.mark.skipif(bool(no_sdk()), reason=no_sdk())
