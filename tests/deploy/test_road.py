"""The whole road of docs/aws.md, from the administrator's first step to delete, against moto."""

import re
import shutil
import subprocess
from pathlib import Path

from tests.deploy import loopback
from tests.jobs import ROOT

_BLOCK = re.compile(r"^<!-- (?P<mark>[^\n]*) -->\n```bash\n(?P<code>.*?)^```$", re.M | re.S)
_PAGE = (ROOT / "docs/aws.md").read_text()
_MARKS = {
    "run against moto",
    "needs AWS",
    "needs the network",
    "tested by tests/test_local_mode.py",
}
JOB = "brain-tumor-1"


def _run(code: str, folder: Path, environment: dict[str, str]) -> str:
    """Run a block as a person would who answers each question with yes."""
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as answers:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=folder,
            env=environment,
            stdin=answers.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        answers.terminate()
    assert done.returncode == 0, f"{code}\n{done.stdout[-4000:]}"
    return done.stdout


def test_every_block_says_how_it_is_tested() -> None:
    assert {match["mark"] for match in _BLOCK.finditer(_PAGE)} == _MARKS
    assert len(_BLOCK.findall(_PAGE)) == _PAGE.count("```bash")


def test_the_road_from_the_first_user_to_delete(
    environment: dict[str, str], phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(phantoms, folder / "brain-tumor-mri.zip")
    shutil.copy(ROOT / "local_test" / "payload.png", folder / "scan.png")
    printed = ""
    for match in _BLOCK.finditer(_PAGE):
        if "build_and_push.sh" in match["code"]:
            # tests/push pushes to a real registry.
            loopback.push_image()
            loopback.leave_artefacts(trained, tmp_path, JOB)
        if match["mark"] == "run against moto":
            printed += _run(match["code"], folder, environment)
            if "AWS_PROFILE=brain-tumor" in match["code"]:
                # What a person exports holds for the blocks after it.
                environment["AWS_PROFILE"] = "brain-tumor"
    assert ":user/brain-tumor-user" in printed
    assert f"{JOB}: Completed" in printed
    home = folder / "jobs" / JOB
    assert (home / "model/1/saved_model.pb").is_file()
    assert (home / "output/report.html").is_file()
    assert re.search(r"^scan.png +\w+ +0\.\d{4} ", printed, re.M)
    assert (folder / "heat_maps/scan.png.heat_map.png").is_file()
    assert re.search(r"^pipeline +brain-tumor-pipeline", printed, re.M)
    assert ":model-package/brain-tumor-models/1 (PendingManualApproval)" in printed
    assert re.search(r"^endpoint +brain-tumor-endpoint +InService +costs money", printed, re.M)
    assert re.search(r"^training job +brain-tumor-1", printed, re.M)
    assert re.search(r"^deleted bucket ", printed, re.M)
    assert loopback.all_names() == []
