"""Every command that makes, deletes or costs something asks first; without a yes all stays."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli import COMMANDS
from tests.deploy import loopback
from tests.deploy.conftest import succeed, use
from tests.jobs import ROOT

MODEL = f"s3://{loopback.BUCKET}/jobs/brain-tumor-1/output/model.tar.gz"
ASKING = [
    ["iam"],
    ["iam", "--no-user"],
    ["setup"],
    ["upload", "prepared"],
    ["train", "ANSWERS"],
    ["tune", "--image", "i", "ANSWERS"],
    ["endpoint", "--model", MODEL],
    ["transform", "prepared", "--model", MODEL],
    ["register", "job"],
    ["pipeline", "prepared/Train.zip"],
    ["delete", "--with-user"],
]
# They make nothing; what an answer costs is a fraction of a cent.
SILENT = {"predict", "cost", "status"}


@pytest.fixture(scope="module")
def ready(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder where every command could do its work, in an account with what it needs."""
    folder = tmp_path_factory.mktemp("ready")
    for name in (
        *("prepared/Train.zip", "job/output/evaluation.json", "job/output/MODEL_CARD.md"),
        "job/model/1/saved_model.pb",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    loopback.reset(moto)
    with pytest.MonkeyPatch.context() as patch:
        use(patch, loopback.environment(moto, folder / "aws"))
        succeed("setup", "--yes")
        loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key="data/train/Train.zip")
        loopback.push_image()
        yield folder


def _held(moto: str) -> dict[str, int]:
    """Count all that moto holds, by service and kind."""
    with urllib.request.urlopen(f"{moto}/moto-api/data.json", timeout=10) as answer:
        services = json.load(answer)
    return {
        f"{service} {kind}": len(held)
        for service, kinds in services.items()
        for kind, held in kinds.items()
        # Of an image moto makes copies when it is asked for.
        if held and kind != "Image"
    }


def _run(words: list[str], end: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with an n on its standard input, unless `end` says otherwise."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {end}', "bash", sys.executable, "-m", "deploy", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="n\n",
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_where_nobody_says_yes_nothing_is_made_deleted_or_started(
    words: list[str], ready: Path, moto: str, answers: list[str]
) -> None:
    given = [part for word in words for part in (answers if word == "ANSWERS" else [word])]
    before = _held(moto)
    refused, unheard = _run(given, "", ready), _run(given, "<&-", ready)
    assert _held(moto) == before
    assert "? [y/N]" in refused.stdout
    assert refused.stderr.endswith("Aborted!\n")
    assert "nothing was done: give --yes" in unheard.stderr
    assert "Traceback" not in unheard.stderr
    assert (refused.returncode, unheard.returncode) == (1, 1)


def test_the_end_of_what_a_pipe_holds_is_no_yes(ready: Path) -> None:
    done = _run(["setup"], "</dev/null", ready)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Nobody is there to answer")


def test_no_command_is_forgotten() -> None:
    assert {words[0] for words in ASKING} | SILENT == {command.name for command in COMMANDS}
