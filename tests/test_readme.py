"""The README's shell blocks, run as a reader would in a fresh copy of the project."""

import os
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.docker import docker, needs_docker
from tests.jobs import ROOT

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```bash\n(?P<code>.*?)^```$", re.M | re.S)
_FENCE = re.compile(r"^ *(?:```|~~~)(?P<language>.*)$", re.M)
MARKS = ("tested: Docker", "tested: no Docker", "tested: Docker, in the background", "needs AWS")


def _blocks() -> list[tuple[str, str]]:
    return [
        (match["mark"] or "", match["code"])
        for match in _BLOCK.finditer((ROOT / "README.md").read_text())
    ]


def _copy_of_the_project(folder: Path) -> Path:
    """Copy what a clone would hold: tracked files, and new ones that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def _run(code: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, f"{code}\n{done.stdout[-4000:]}"
    return done.stdout


def test_every_shell_block_says_whether_it_is_tested_or_needs_aws() -> None:
    blocks = _blocks()
    assert len(blocks) >= 5
    assert {mark for mark, _ in blocks} <= set(MARKS)
    fences = [match["language"] for match in _FENCE.finditer((ROOT / "README.md").read_text())]
    # No shell block hides under another name: openings and closings alternate.
    assert set(fences[::2]) == {"bash", "dockerfile"}
    assert fences[::2].count("bash") == len(blocks)
    assert set(fences[1::2]) == {""}


@pytest.mark.timeout(1800)
def test_the_blocks_without_docker_work(tmp_path: Path) -> None:
    folder = _copy_of_the_project(tmp_path)
    codes = [code for mark, code in _blocks() if mark == "tested: no Docker"]
    printed = [_run(code, folder) for code in codes]
    assert '"predictions"' in printed[0]
    assert (folder / "demo/ml/model/1/saved_model.pb").is_file()


@needs_docker
@pytest.mark.timeout(2400)
def test_the_blocks_with_docker_work_in_their_order(tmp_path: Path, phantoms: Path) -> None:
    folder = _copy_of_the_project(tmp_path)
    shutil.copy(phantoms, folder / "brain-tumor-mri.zip")
    config = folder / "local_test/test_dir/input/config/hyperparameters.json"
    config.write_text('{"epochs": "2", "image-size": "32"}')
    printed = ""
    background: list[subprocess.Popen[bytes]] = []
    try:
        for mark, code in _blocks():
            if mark == "tested: Docker":
                printed += _run(code, folder)
            elif mark == "tested: Docker, in the background":
                background.append(subprocess.Popen(["bash", "-c", code], cwd=folder))
                _wait_for_ping(background[-1])
    finally:
        for process in background:
            process.terminate()
            process.wait(timeout=60)
    # The demo's predictions and those of the two requests by hand.
    assert printed.count('"predictions"') >= 6
    for made in (folder / "demo").rglob("*"):
        assert made.stat().st_uid == os.getuid(), made
    assert docker("ps", "-q", "--filter", "ancestor=brain-tumor").stdout == ""


def _wait_for_ping(process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None
        try:
            with urllib.request.urlopen("http://127.0.0.1:8080/ping", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("serve was never ready")
