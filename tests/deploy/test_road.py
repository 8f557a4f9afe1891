"""The whole road of docs/aws.md, from the administrator's first step to delete, against moto."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.resources import kinds
from tests.aws import ECR, ecr_registry, no_ecr_registry
from tests.deploy import loopback
from tests.deploy.tools import needs_sdk
from tests.docker import docker
from tests.jobs import ROOT, SDK
from tests.push.project import DOCKERFILE

_BLOCK = re.compile(r"^<!-- (?P<mark>[^\n]*) -->\n```bash\n(?P<code>.*?)^```$", re.M | re.S)
_PAGE = (ROOT / "docs/aws.md").read_text()
_MARKS = {
    "run against moto",
    "run against moto and a registry",
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


@contextmanager
def _registry(folder: Path, environment: dict[str, str]) -> Iterator[bool]:
    """Lead ECR's name to a registry, where this machine may; tell whether it does."""
    if no_ecr_registry():
        yield False
        return
    (folder / "docker").mkdir()
    # Logins of its own, so that none of the user's is touched.
    environment["DOCKER_CONFIG"] = str(folder / "docker")
    name = "brain-tumor:latest"
    before = docker("image", "inspect", "--format", "{{.Id}}", name).stdout.strip()
    try:
        with ecr_registry(folder):
            yield True
    finally:
        docker("rmi", name, f"{ECR}/{name}")
        if before:
            docker("tag", before, name)


def _push(code: str, folder: Path, environment: dict[str, str]) -> str:
    """Push a tiny image for real, and tell moto what the registry holds; give its URI."""
    uri = _run(code, folder, environment).splitlines()[-1]
    digest = uri.partition("@sha256:")[2]
    blobs = folder.parent / "storage/docker/registry/v2/blobs/sha256"
    manifest = (blobs / digest[:2] / digest / "data").read_text()
    assert loopback.hold_image(manifest) == uri
    return uri


def _image_of(job: str) -> str:
    made = loopback.client("sagemaker").describe_training_job(TrainingJobName=job)
    image: str = made["AlgorithmSpecification"]["TrainingImage"]
    return image


def test_every_block_says_how_it_is_tested() -> None:
    assert {match["mark"] for match in _BLOCK.finditer(_PAGE)} == _MARKS
    assert len(_BLOCK.findall(_PAGE)) == _PAGE.count("```bash")


@needs_sdk
def test_the_road_from_the_first_user_to_delete(
    environment: dict[str, str], phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(phantoms, folder / "brain-tumor-mri.zip")
    shutil.copy(ROOT / "local_test" / "payload.png", folder / "scan.png")
    # A project whose image takes a second.
    shutil.copy(ROOT / "build_and_push.sh", folder)
    (folder / "deploy").symlink_to(ROOT / "deploy")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    printed, told, uri = "", "", ""
    with _registry(tmp_path, environment) as pushes:
        for mark, code in _BLOCK.findall(_PAGE):
            if mark == "run against moto":
                told = _run(code, folder, environment)
                printed += told
                if f"deploy train --name {JOB}" in code:
                    assert _image_of(JOB) == uri
            elif mark == "run against moto and a registry":
                uri = _push(code, folder, environment) if pushes else loopback.push_image()
                loopback.leave_artefacts(trained, tmp_path, JOB)
            # What a person exports or activates holds for the blocks after it.
            if "AWS_PROFILE=brain-tumor" in code:
                environment["AWS_PROFILE"] = "brain-tumor"
            if ".venv-deploy/bin/activate" in code:
                environment["PATH"] = f"{SDK.parent}:{environment['PATH']}"
    assert ":user/brain-tumor-user" in printed
    assert f"{JOB}: Completed" in printed
    home = folder / "jobs" / JOB
    assert (home / "model/1/saved_model.pb").is_file()
    assert (home / "output/report.html").is_file()
    assert re.search(r"^scan.png +\w+ +0\.\d{4} ", printed, re.M)
    assert (folder / "heat_maps/scan.png.heat_map.png").is_file()
    assert ":model-package/brain-tumor-models/1 (PendingManualApproval)" in printed
    assert re.search(r"^endpoint +brain-tumor-endpoint +InService +costs money", printed, re.M)
    # moto runs no step of a pipeline.
    for kind in {kind.name for kind in kinds()} - {"processing job"}:
        # In the list of `status`, and in that of `delete`.
        assert len(re.findall(rf"^{kind} +\S*brain-tumor", told, re.M)) >= 2, kind
        assert re.search(rf"(deleted|kept) {kind} ", told), kind
    assert re.findall("kept (.*) brain-tumor", told) == ["transform job"]
    assert loopback.all_names() == []
