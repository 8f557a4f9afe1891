"""What holds for every command: help with examples, the shared options, a fast start."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from deploy.cli import COMMANDS
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed
from tests.jobs import ROOT


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_command_has_help_with_examples_that_are_understood(
    command: click.Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the examples name has to be there.
    monkeypatch.chdir(tmp_path)
    for folder in ("jobs/brain-tumor-1", "local_test/test_dir", "prepared", "scans"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("scan.jpg", "scans/*.png", "volume.nii.gz"):
        (tmp_path / file).touch()
    printed = succeed(command.name, "--help")
    for option in ("--profile", "--region", "--project", "--dry-run", "--yes"):
        assert option in printed
    _, examples = printed.split("Examples:\n")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    for line in lines:
        words = line.removeprefix("python -m deploy ").split(" > ")[0].split()
        assert words[0] == command.name
        # Parsed as it stands: an option that does not exist, or a missing argument, is refused.
        command.make_context(command.name, words[1:])


def test_help_needs_no_sdk() -> None:
    code = (
        "import sys, deploy.cli; "
        "print({'boto3', 'botocore', 'sagemaker', 'brain_tumor'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_without_its_packages_one_sentence_says_how_to_get_them() -> None:
    # -S: as in an environment that has nothing installed.
    done = subprocess.run(
        [sys.executable, "-S", "-m", "deploy", "iam", "--help"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: click is not installed in this environment: make one")
    assert "-r deploy/requirements.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_commands_stand_in_the_order_of_the_road() -> None:
    printed = succeed("--help")
    # Each has a line, which ends.
    assert "..." not in printed.split("Commands:")[1]
    places = [printed.index(f"\n  {command.name} ") for command in COMMANDS]
    assert places == sorted(places)


def test_who_reads_no_further_gets_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            "bash",
            "-c",
            '"$@" | head -n 1',
            "bash",
            sys.executable,
            "-m",
            "deploy",
            "status",
            "--dry-run",
        ],
        cwd=ROOT,
        env={**os.environ, **loopback.environment("http://127.0.0.1:9", tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("would call ")
    assert done.stderr == ""


def test_a_command_that_does_not_exist_is_told() -> None:
    assert "No such command 'trian'" in deploy("trian").output
