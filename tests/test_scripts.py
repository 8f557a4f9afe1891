"""The shell scripts: what each says for -h, what the pushing one calls, what the others miss."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.jobs import ROOT

SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (
        *ROOT.glob("*.sh"),
        *ROOT.glob("local_test/*.sh"),
        *ROOT.glob("tests/*.sh"),
        *ROOT.glob(".ci/*"),
    )
)
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

# Each stand-in writes its name and arguments as one line of the file that CALLS names.
AWS = """#!/bin/sh
echo "aws $*" >> "$CALLS"
case "$1 $2" in
  "sts get-caller-identity") echo 123456789012 ;;
  "configure get") exit 1 ;;
  "ecr get-login-password") echo secret ;;
  "ecr batch-get-image") printf 'sha256:abc\\t%s\\n' "$MANIFEST" ;;
  "ecr describe-repositories") [ -z "$REFUSAL" ] || { echo "$REFUSAL" >&2; exit 254; } ;;
esac
"""
DOCKER = """#!/bin/sh
echo "docker $*" >> "$CALLS"
case "$1" in
  buildx) [ -n "$BUILDX" ] ;;
  build) echo "DOCKER_BUILDKIT=$DOCKER_BUILDKIT" >> "$CALLS" ;;
  login) echo "password $(cat)" >> "$CALLS" ;;
esac
"""
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def run(
    command: list[str | Path], environment: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; the environment is this one's when none is given."""
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


class Push:
    """build_and_push.sh with stand-ins for aws and docker that record their calls."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "calls"
        self.tools = folder / "tools"
        self.tools.mkdir()
        for name, code in {"aws": AWS, "docker": DOCKER}.items():
            (self.tools / name).write_text(code)
            (self.tools / name).chmod(0o755)
        self.environment = {
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "CALLS": str(self.log),
            "AWS_REGION": "eu-central-1",
            "MANIFEST": DOCKER_MANIFEST,
            "REFUSAL": "",
            "BUILDX": "",
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the script with these arguments."""
        return run([ROOT / "build_and_push.sh", *arguments], self.environment)

    @property
    def calls(self) -> list[str]:
        """The calls so far, in order."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def index(self, beginning: str) -> int:
        """Give the place of the one call that begins so."""
        (place,) = [n for n, call in enumerate(self.calls) if call.startswith(beginning)]
        return place


@pytest.fixture
def push(tmp_path: Path) -> Push:
    """Give build_and_push.sh with stand-ins."""
    return Push(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_tells_its_usage_from_any_folder(script: str, tmp_path: Path) -> None:
    told = run([ROOT / script, "-h"], cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert f"Usage: {script}" in told.stdout
    assert "set -euo pipefail" not in told.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_parses_and_stops_at_the_first_error(script: str) -> None:
    checked = run(["bash", "-n", ROOT / script])
    assert checked.returncode == 0, checked.stderr
    code = (ROOT / script).read_text()
    assert code.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in code


def test_a_push_is_prepared_before_the_build_and_read_back_at_the_end(push: Push) -> None:
    done = push("brain-tumor:v1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{REGISTRY}/brain-tumor@sha256:abc\n"
    remote = f"{REGISTRY}/brain-tumor:v1"
    places = [
        push.index(call)
        for call in (
            "aws sts get-caller-identity",
            "aws ecr describe-repositories --repository-names brain-tumor --region eu-central-1",
            f"docker build --platform linux/amd64 --tag brain-tumor:v1 {ROOT}",
            f"docker login --username AWS --password-stdin {REGISTRY}",
            f"docker tag brain-tumor:v1 {remote}",
            f"docker push {remote}",
            "aws ecr batch-get-image --repository-name brain-tumor --image-ids imageTag=v1",
        )
    ]
    assert places == sorted(places)
    assert "password secret" in push.calls
    assert "secret" not in done.stderr


def test_a_repository_that_exists_is_not_created(push: Push) -> None:
    assert push("brain-tumor").returncode == 0
    assert not [call for call in push.calls if "create-repository" in call]


def test_a_repository_that_is_absent_is_created_and_scans_what_is_pushed(push: Push) -> None:
    push.environment["REFUSAL"] = "An error occurred (RepositoryNotFoundException)"
    done = push("team/brain-tumor")
    assert done.returncode == 0, done.stderr
    created = push.calls[push.index("aws ecr create-repository")]
    assert "--repository-name team/brain-tumor" in created
    assert "scanOnPush=true" in created


def test_a_refusal_by_ecr_is_shown_and_nothing_is_built(push: Push) -> None:
    push.environment["REFUSAL"] = "An error occurred (AccessDeniedException): no permission"
    done = push("brain-tumor")
    assert done.returncode == 1
    assert "AccessDeniedException" in done.stderr
    assert not [call for call in push.calls if "create-repository" in call or "build" in call]


def test_an_oci_manifest_is_refused_with_the_remedy(push: Push) -> None:
    push.environment["MANIFEST"] = OCI_MANIFEST
    done = push("brain-tumor")
    assert done.returncode == 1
    assert done.stdout == ""
    assert OCI_MANIFEST in done.stderr
    assert DOCKER_MANIFEST in done.stderr
    assert "containerd" in done.stderr


def test_buildx_builds_dockers_own_format_without_attestations(push: Push) -> None:
    push.environment["BUILDX"] = "yes"
    assert push("brain-tumor", "--platform", "linux/arm64").returncode == 0
    call = push.calls[push.index("docker buildx build")]
    for flag in (
        "--platform linux/arm64",
        "--provenance=false",
        "--sbom=false",
        "--output type=docker",
    ):
        assert flag in call


def test_without_buildx_the_classic_builder_is_asked_for(push: Push) -> None:
    assert push("brain-tumor").returncode == 0
    assert "DOCKER_BUILDKIT=0" in push.calls


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ("Brain-Tumor", "ECR takes no capital letters in 'Brain-Tumor': use 'brain-tumor'"),
        ("brain--_tumor", "'brain--_tumor' is no name for an ECR repository"),
        ("b", "'b' is no name for an ECR repository"),
        ("brain-tumor:.v1", "'.v1' is no tag"),
        ("brain-tumor:", "'' is no tag"),
        ("brain-tumor:" + "v" * 129, "is no tag"),
    ],
)
def test_a_name_that_ecr_would_refuse_is_refused_before_any_call(
    push: Push, image: str, sentence: str
) -> None:
    done = push(image)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert push.calls == []


def test_a_dry_run_prints_the_commands_and_runs_none(push: Push) -> None:
    done = push("brain-tumor", "--dry-run")
    assert done.returncode == 0, done.stderr
    shown = [" ".join(line.split()[1:4]) for line in done.stdout.splitlines()]
    assert shown == [
        "aws ecr describe-repositories",
        "aws ecr create-repository",
        "docker buildx build",
        "aws ecr get-login-password",
        "docker tag brain-tumor:latest",
        "docker push <account>.dkr.ecr.eu-central-1.amazonaws.com/brain-tumor:latest",
        "aws ecr batch-get-image",
    ]
    assert push.calls == []


def test_no_push_builds_and_calls_no_aws(push: Push) -> None:
    done = push("brain-tumor", "--no-push")
    assert done.returncode == 0, done.stderr
    assert [call.split()[:2] for call in push.calls] == [
        ["docker", "buildx"],  # is there such a plugin?
        ["docker", "build"],
        ["DOCKER_BUILDKIT=0"],
    ]


def test_a_chinese_region_has_its_own_suffix(push: Push) -> None:
    done = push("brain-tumor", "--region", "cn-north-1")
    uri = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/brain-tumor@sha256:abc\n"
    assert (done.returncode, done.stdout) == (0, uri)


def test_a_missing_region_is_named(push: Push) -> None:
    del push.environment["AWS_REGION"]
    done = push("brain-tumor")
    assert done.returncode == 1
    assert "--region" in done.stderr


@pytest.mark.parametrize("tool", ["aws", "docker"])
def test_a_missing_tool_is_named(push: Push, tool: str, tmp_path: Path) -> None:
    path = minimal_path(tmp_path / "minimal")
    (push.tools / tool).unlink()
    push.environment["PATH"] = f"{push.tools}:{path}"
    done = push("brain-tumor")
    assert done.returncode == 1
    assert f"{tool} is missing" in done.stderr


def minimal_path(folder: Path, **tools: Path | str) -> Path:
    """Make a folder for PATH that holds little more than the shell."""
    folder.mkdir()
    shell = ("bash", "cat", "dirname", "basename", "env", "grep", "ls", "mkdir", "mktemp", "rm")
    for name in (*shell, "sed", "sh", "tr"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, target in tools.items():
        (folder / name).symlink_to(target)
    return folder


def make_venv(path: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Run make_venv.sh with nothing on PATH but what a folder holds."""
    script = ROOT / "local_test" / "make_venv.sh"
    return run([script, target, ROOT / "requirements.txt"], {"PATH": str(path)})


def test_make_venv_names_a_missing_python_and_how_to_get_it(tmp_path: Path) -> None:
    done = make_venv(minimal_path(tmp_path / "minimal"), tmp_path / "venv")
    assert done.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is missing" in done.stderr
    assert "apt-get install python3" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_make_venv_passes_over_a_python_that_does_not_run(tmp_path: Path) -> None:
    path = minimal_path(tmp_path / "minimal", python3=sys.executable)
    broken = path / "python3.13"
    broken.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    broken.chmod(0o755)
    done = make_venv(path, tmp_path / "venv")
    assert "C compiler" in done.stderr


def test_make_venv_names_a_missing_compiler_and_makes_nothing(tmp_path: Path) -> None:
    path = minimal_path(tmp_path / "minimal", python3=sys.executable)
    done = make_venv(path, tmp_path / "venv")
    assert done.returncode == 1
    assert "a C compiler is missing" in done.stderr
    assert "apt-get install gcc" in done.stderr
    assert list((tmp_path / "venv").iterdir()) == []


def test_make_venv_does_not_empty_a_folder_of_other_things(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    path = minimal_path(tmp_path / "minimal", python3=sys.executable)
    done = make_venv(path, tmp_path)
    assert done.returncode == 1
    assert "holds something else" in done.stderr
    assert precious.read_text() == "kept"


@pytest.mark.parametrize("lock", ["requirements-gpu.txt", "tests/requirements.txt"])
def test_the_lists_agree_on_every_package_but_tensorflow(lock: str) -> None:
    here, there = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.M))
        for name in ("requirements.txt", lock)
    )
    here.pop("tensorflow-cpu")
    assert {name: there[name] for name in here if name in there} == here


@pytest.mark.parametrize(
    "lock",
    [*ROOT.glob("requirements*.txt"), *ROOT.glob("benchmarks/peers/*.txt")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_lists_name_no_index_and_no_path_of_a_machine(lock: Path) -> None:
    text = lock.read_text()
    assert text.startswith(
        "# This file was autogenerated by uv via the following command:\n#    .ci/lock\n"
    )
    assert not re.search(r"https?://|file:|^-(-index|-extra|f|i) |/home/|/tmp/", text, re.M)


def test_the_image_is_labelled_with_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"image.version={version}\n" in (ROOT / "Dockerfile").read_text()


def test_the_demo_refuses_data_that_lies_in_the_folder_it_clears(tmp_path: Path) -> None:
    data = tmp_path / "demo" / "data" / "mine.zip"
    data.parent.mkdir(parents=True)
    data.write_bytes(b"mine")
    (tmp_path / "demo" / ".brain-tumor-demo").touch()
    script = ROOT / "local_test" / "demo.sh"
    done = run([script, "--no-docker", "--workdir", tmp_path / "demo", "--data", data])
    assert done.returncode != 0
    assert "--data lies in --workdir" in done.stderr
    assert data.read_bytes() == b"mine"
