"""The command line against moto."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore import loaders
from click.testing import CliRunner, Result

from deploy.cli import main
from tests import endpoints
from tests.deploy import loopback
from tests.deploy.tools import no_sdk
from tests.jobs import BIN, ROOT, SDK, run_cli
from tests.server import Server

Run = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once() -> Iterator[None]:
    """Let all sessions share what botocore reads: half of a command's time is its JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders, "create_loader", functools.cache(loaders.create_loader))
        yield


@pytest.fixture(scope="session", autouse=True)
def _the_sdks_process_ends() -> Iterator[None]:
    yield
    if _sdk.cache_info().currsize:
        _sdk().terminate()
        _sdk().communicate(timeout=30)


@functools.cache
def _sdk() -> subprocess.Popen[str]:
    """Start the process that runs commands in the environment that docs/aws.md has one make."""
    if no_sdk():
        pytest.skip(no_sdk())
    return subprocess.Popen(
        # -P: the modules beside that file are not for it.
        [SDK, "-P", ROOT / "tests/deploy/worker.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """Give the URL of moto's server, which starts once."""
    with loopback.moto_server() as url:
        yield url


@pytest.fixture
def account(moto: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Give an account with nothing in it, to which every AWS tool in this test talks."""
    loopback.reset(moto)
    use(monkeypatch, loopback.environment(moto, tmp_path / "aws"))
    return moto


@pytest.fixture
def pushed(account: str) -> str:
    """Give the URI of the image that was pushed to an account with bucket and role."""
    succeed("setup", "--yes")
    return loopback.push_image()


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the options that stand for `docker run`: files with what the image tells of itself."""
    folder = tmp_path_factory.mktemp("answers")
    options = []
    for option, words in (
        ("--metric-definitions", ["metric-definitions"]),
        ("--hyperparameters-schema", ["hyperparameters", "--json"]),
    ):
        told = run_cli(*words)
        assert told.returncode == 0, told.stderr
        (folder / words[0]).write_text(told.stdout)
        options += [option, str(folder / words[0])]
    return options


@pytest.fixture
def environment(
    account: str, answers: list[str], server: Server, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Give the environment of a person whose ~/.aws holds an administrator's profile.

    Its endpoint is a real `serve`: moto's has one answer for everything.
    """
    home = tmp_path / "aws"
    home.mkdir()
    (home / "credentials").write_text(
        "[admin]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n"
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n"
    )
    variables = loopback.environment(account, home)
    # The keys come from the profiles, as on the person's machine.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del variables[name]
    tools = tmp_path / "tools"
    tools.mkdir()
    # Stands for `docker run IMAGE brain-tumor …`: the answers of the installed package.
    told = Path(answers[1]).parent
    real = shutil.which("docker") or "false"
    (tools / "docker").write_text(
        f'#!/bin/bash\n[ "$1" = run ] || exec {real} "$@"\nexec cat "{told}/$7"\n'
    )
    (tools / "docker").chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = f"{tools}:{BIN}:{os.environ['PATH']}"
    with endpoints.running(server, "brain-tumor-endpoint") as runtime:
        variables["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = runtime
        yield {**inherited, **variables, "PATH": path, "PYTHONPATH": str(ROOT)}


def use(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Let these be all that AWS's tools find in the environment."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def deploy(*arguments: object, answer: str | None = None) -> Result:
    """Run `python -m deploy`; `answer` is typed where it asks.

    `train` runs in a process that has SageMaker's SDK, all else in this one.
    """
    words = [str(word) for word in arguments]
    if words[0] == "train":
        return _by_sdk(words, answer)
    return CliRunner().invoke(main, words, input=answer)


def _by_sdk(words: list[str], answer: str | None) -> Result:
    process = _sdk()
    assert process.stdin
    assert process.stdout
    command = {"words": words, "answer": answer, "environment": dict(os.environ)}
    process.stdin.write(json.dumps(command) + "\n")
    process.stdin.flush()
    told = json.loads(process.stdout.readline())
    return Result(
        CliRunner(),
        stdout_bytes=b"",
        stderr_bytes=b"",
        output_bytes=told["output"].encode(),
        return_value=None,
        exit_code=told["exit_code"],
        exception=Exception(told["exception"]),
    )


def succeed(*arguments: object, answer: str | None = None) -> str:
    """Run `python -m deploy`, which must succeed; give what it printed."""
    result = deploy(*arguments, answer=answer)
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output
