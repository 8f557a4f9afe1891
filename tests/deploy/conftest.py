"""The command line against moto."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore import loaders
from click.testing import CliRunner, Result

from deploy.cli import main
from tests.deploy import loopback
from tests.jobs import run_cli

Run = Callable[..., Result]


@pytest.fixture(scope="session", autouse=True)
def _models_are_read_once() -> Iterator[None]:
    """Let all sessions share what botocore reads: half of a command's time is its JSON."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders, "create_loader", functools.cache(loaders.create_loader))
        yield


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


def use(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Let these be all that AWS's tools find in the environment."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def deploy(*arguments: object, answer: str | None = None) -> Result:
    """Run `python -m deploy` in this process; `answer` is typed where it asks."""
    return CliRunner().invoke(main, [str(word) for word in arguments], input=answer)


def succeed(*arguments: object, answer: str | None = None) -> str:
    """Run `python -m deploy`, which must succeed; give what it printed."""
    result = deploy(*arguments, answer=answer)
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result.output
