"""docs/emulator_check.md: its blocks as a reader would run them, and its tables."""

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from local_test.emulator.check.suite import ALL
from local_test.emulator.cli import main
from tests.docker import needs_docker
from tests.jobs import BIN, ROOT

_PAGE = (ROOT / "docs/emulator_check.md").read_text()
_BLOCKS = dict(re.findall(r"^<!-- ([^\n]*) -->\n```bash\n(.*?)^```$", _PAGE, re.M | re.S))
_OPTION = r"(?<= )--?[a-z][a-z-]*"
_ID = r"\b(?:IMAGE|TRAIN|SERVE|BATCH|SERVERLESS|MULTI)-\d\d\b"


def _run(mark: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    path = {"PYTHONPATH": str(ROOT), "PATH": f"{BIN}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _BLOCKS[mark]],
        cwd=folder,
        env={**os.environ, **path, **environment},
        capture_output=True,
        text=True,
    )


def test_every_block_is_marked_with_how_it_is_tested() -> None:
    assert _PAGE.count("```bash") == len(_BLOCKS)
    assert _BLOCKS.keys() == {"tested: Docker", "tested: no Docker"}


def test_every_rule_stands_in_the_tables_and_every_rule_there_exists() -> None:
    rows = "\n".join(line for line in _PAGE.splitlines() if line.startswith("|"))
    assert set(re.findall(_ID, rows)) == {rule.id for rule in ALL}
    assert set(re.findall(_ID, _PAGE)) == {rule.id for rule in ALL}


def test_every_option_of_check_stands_in_the_page() -> None:
    for parameter in main.commands["check"].params:
        name = parameter.opts[0]
        assert not name.startswith("-") or re.search(rf"`{name}[ `]", _PAGE), name


def test_every_command_in_the_tables_has_the_options_that_are_told_of_it() -> None:
    spans = re.findall(rf"`((?:{'|'.join(main.commands)})(?: [^`]+)?)`", _PAGE)
    told = {(words.split()[0], option) for words in spans for option in re.findall(_OPTION, words)}
    known = {(n, o) for n, command in main.commands.items() for p in command.params for o in p.opts}
    assert told <= known
    assert {command for command, _ in told} >= {"train", "serve", "transform", "multi-model"}


@needs_docker
def test_the_block_with_docker_finds_what_an_image_lacks(tmp_path: Path, image: str) -> None:
    ran = _run("tested: Docker", tmp_path, IMAGE=image)
    assert ran.returncode == 1, ran.stderr
    failed = {line.split()[1] for line in ran.stdout.splitlines() if line.startswith("FAIL")}
    # Its `train` does nothing; without a model nothing is served.
    assert failed == {"IMAGE-05", "TRAIN-02", "TRAIN-15"}
    assert (tmp_path / "junit.xml").exists()
    assert (tmp_path / "check.html").exists()


def test_the_block_without_docker_passes_with_our_own_package(
    tmp_path: Path, trained: Path
) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "model", ".")
    ran = _run("tested: no Docker", tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    states = {line.split()[1]: line.split()[0] for line in ran.stdout.splitlines()[:-1]}
    assert {rule for rule, state in states.items() if state == "N/A"} == {"SERVE-02"}
