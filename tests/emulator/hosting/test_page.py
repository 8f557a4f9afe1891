"""docs/emulator_hosting.md: its blocks as a reader would run them, and its tables."""

import contextlib
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

import pytest

from local_test.emulator.cli import main
from tests.jobs import BIN, ROOT
from tests.server import free_port

_PAGE = (ROOT / "docs/emulator_hosting.md").read_text()
_BLOCKS = dict(re.findall(r"^<!-- ([^\n]*) -->\n```\w+\n(.*?)^```$", _PAGE, re.M | re.S))
_PORT = "8090"
_SERVED, _ASKED = "tested: no Docker, in the background", "tested: on that endpoint"
_TRANSFORMED = "tested: no Docker"
_PATHS = {"PYTHONPATH": str(ROOT), "PATH": f"{BIN}:{os.environ['PATH']}"}


def test_every_block_is_marked_with_how_it_is_tested() -> None:
    assert len(re.findall("^```[a-z]", _PAGE, re.M)) == len(_BLOCKS)
    assert _BLOCKS.keys() == {_SERVED, _ASKED, _TRANSFORMED}


@pytest.mark.parametrize("command", sorted(main.commands.keys() - {"train", "check"}))
def test_every_option_of_every_command_stands_in_the_page(command: str) -> None:
    assert f"`{command}" in _PAGE
    for parameter in main.commands[command].params:
        name = parameter.opts[0]
        if name.startswith("-"):
            assert f"`{name} " in _PAGE or f"`{name}`" in _PAGE, name


@contextlib.contextmanager
def _in_the_background(code: str, folder: Path) -> Iterator[None]:
    """Run a block until it has printed its URL; end it with Ctrl-C."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {code}"],
        cwd=folder,
        env={**os.environ, **_PATHS},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        try:
            assert running.stdout.readline().startswith("http://127.0.0.1:")
            yield
        finally:
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 128 + signal.SIGINT


@pytest.fixture
def folder(archive: Path, prepared: Path, tmp_path: Path) -> Path:
    """Give a folder with our own model and scans."""
    shutil.copy(archive, tmp_path / "model.tar.gz")
    (tmp_path / "scans").mkdir()
    with zipfile.ZipFile(prepared / "Test.zip") as scans:
        for name, member in zip(("scan.jpg", "other.jpg"), sorted(scans.namelist()), strict=False):
            (tmp_path / "scans" / name).write_bytes(scans.read(member))
    shutil.copy(tmp_path / "scans/scan.jpg", tmp_path)
    return tmp_path


def test_the_blocks_serve_our_own_package_and_ask_it_with_boto3(folder: Path) -> None:
    port = str(free_port())
    served, asked = (_BLOCKS[mark].replace(_PORT, port) for mark in (_SERVED, _ASKED))
    with _in_the_background(served, folder):
        done = subprocess.run(
            [sys.executable, "-c", asked], cwd=folder, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert '"label"' in done.stdout


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
