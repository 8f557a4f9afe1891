"""docs/emulator_hosting.md: its blocks as a reader would run them, and its tables."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from local_test.emulator.cli import main
from tests.deploy.tools import needs_sdk
from tests.jobs import BIN, ROOT, SDK
from tests.ports import free_port

_PAGE = (ROOT / "docs/emulator_hosting.md").read_text()
_BLOCKS = dict(re.findall(r"^<!-- ([^\n]*) -->\n```\w+\n(.*?)^```$", _PAGE, re.M | re.S))
_PORT = "8090"
_SERVED, _ASKED = "tested: no Docker, in the background", "tested: on that endpoint"
_ASKED_BY_SDK = "tested: on that endpoint, with the SDK"
_TRANSFORMED = "tested: no Docker"
_PATHS = {"PYTHONPATH": str(ROOT), "PATH": f"{BIN}:{os.environ['PATH']}"}


def test_every_block_is_marked_with_how_it_is_tested() -> None:
    assert len(re.findall("^```[a-z]", _PAGE, re.M)) == len(_BLOCKS)
    assert _BLOCKS.keys() == {_SERVED, _ASKED, _ASKED_BY_SDK, _TRANSFORMED}


_COMMANDS = main.commands.keys() - {"train", "check"}


def _table() -> list[tuple[str, set[str], str, str]]:
    """Return the rows of the options: name, commands, default and meaning."""
    _, section = _PAGE.split("## Options\n")
    rows = re.findall(r"^\| `(--[^ `]+)[^|]*\| ([^|]+) \| ([^|]*)\| ([^|]*)\|$", section, re.M)
    assert len(rows) == section.count("\n| `--")
    return [(name, _commands(words), default.strip(), text) for name, words, default, text in rows]


def _commands(words: str) -> set[str]:
    named = set(re.findall("`([^`]+)`", words))
    if words.startswith("all"):
        return _COMMANDS - named
    return _COMMANDS - {"transform"} if words == "endpoints" else named


@pytest.mark.parametrize("command", sorted(_COMMANDS))
def test_the_table_has_the_options_of_every_command_with_their_defaults_and_choices(
    command: str,
) -> None:
    assert f"`{command} " in _PAGE or f"`{command}`" in _PAGE
    rows = {name: (default, text) for name, of, default, text in _table() if command in of}
    options = {p.opts[0]: p for p in main.commands[command].params if p.opts[0].startswith("-")}
    assert rows.keys() == options.keys()
    for name, (default, text) in rows.items():
        option = options[name]
        given = option.to_info_dict()["default"]
        assert default == ("" if given is None or given is False else str(given).removesuffix(".0"))
        if isinstance(option.type, click.Choice) and name != "--memory-size":
            assert ", ".join(option.type.choices) in text


@pytest.fixture(scope="module")
def folder(archive: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with our own model and scans."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(archive, folder / "model.tar.gz")
    (folder / "scans").mkdir()
    with zipfile.ZipFile(prepared / "Test.zip") as scans:
        for name, member in zip(("scan.jpg", "other.jpg"), sorted(scans.namelist()), strict=False):
            (folder / "scans" / name).write_bytes(scans.read(member))
    shutil.copy(folder / "scans/scan.jpg", folder)
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[str]:
    """Give the port of the endpoint that the first block serves; Ctrl-C ends it."""
    port = str(free_port())
    with subprocess.Popen(
        ["bash", "-c", f"exec {_BLOCKS[_SERVED].replace(_PORT, port)}"],
        cwd=folder,
        env={**os.environ, **_PATHS},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        try:
            assert running.stdout.readline().startswith("http://127.0.0.1:")
            yield port
        finally:
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 128 + signal.SIGINT


def _ask(python: str | Path, code: str, folder: Path, **environment: str) -> str:
    """Run a block by a Python; return what it prints."""
    done = subprocess.run(
        [python, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_blocks_serve_our_own_package_and_ask_it_with_boto3(folder: Path, port: str) -> None:
    assert '"label"' in _ask(sys.executable, _BLOCKS[_ASKED].replace(_PORT, port), folder)


@needs_sdk
def test_sagemakers_own_sdk_finds_the_endpoint_and_asks_it(folder: Path, port: str) -> None:
    told = _ask(
        SDK,
        _BLOCKS[_ASKED_BY_SDK],
        folder,
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
        AWS_DEFAULT_REGION="us-east-1",
        AWS_ACCESS_KEY_ID="any",
        AWS_SECRET_ACCESS_KEY="any",  # noqa: S106
        # Whoever is asked beside the emulator is not reached.
        HTTPS_PROXY="http://127.0.0.1:9",
        HOME=str(folder),
    )
    assert '"label"' in told


def test_the_block_transforms_scans_with_our_own_package(folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _BLOCKS[_TRANSFORMED]],
        cwd=folder,
        env={**os.environ, **_PATHS},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "predictions/scan.jpg.out" in done.stdout
    for name in ("scan.jpg", "other.jpg"):
        (line,) = (folder / f"predictions/{name}.out").read_text().splitlines()
        assert json.loads(line)["label"] in {"glioma", "meningioma", "notumor", "pituitary"}
