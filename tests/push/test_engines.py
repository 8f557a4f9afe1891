"""build_and_push.sh with real engines and a real registry on loopback."""

import base64
import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.aws import needs_registry, password_file, registry
from tests.docker import docker, needs_docker, needs_docker_command
from tests.push.project import DOCKERFILE, Project

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"

needs_podman = pytest.mark.skipif(
    shutil.which("podman") is None or os.geteuid() != 0,
    reason="no podman, or not root: it was not tested to push",
)


@pytest.fixture
def buildx() -> Path:
    """Give Docker's plugin buildx."""
    named = os.environ.get("BRAIN_TUMOR_BUILDX", "")
    folders = ("/usr/libexec", "/usr/lib", "/usr/local/lib", "/usr/local/libexec")
    installed = (f"{folder}/docker/cli-plugins/docker-buildx" for folder in folders)
    for path in map(Path, filter(None, (named, *installed))):
        if path.is_file():
            return path
    pytest.skip("no buildx (Debian 13: apt-get install docker-buildx): only its flags were tested")


def manifest(uri: str) -> tuple[str, Any]:
    """Give media type and manifest of what a registry on loopback holds."""
    host, rest = uri.split("/", 1)
    url = f"http://{host}/v2/{rest.replace('@', '/manifests/')}"
    asked = urllib.request.Request(url, headers={"Accept": f"{DOCKER_MANIFEST}, */*"})
    with urllib.request.urlopen(asked, timeout=10) as reply:
        return reply.headers["Content-Type"], json.load(reply)


@needs_docker
@needs_registry
def test_an_image_is_pushed_read_back_and_named_by_its_digest(
    project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "uri"
    with registry(tmp_path) as host:
        done = project.push("push-test:v1", "--registry", host, "--uri-file", file)
        assert done.returncode == 0, done.stderr
        uri = done.stdout.strip()
        assert uri.startswith(f"{host}/push-test@sha256:")
        assert file.read_text() == done.stdout
        media_type, held = manifest(uri)
        assert media_type == held["mediaType"] == DOCKER_MANIFEST
        assert "linux/amd64, 1 layers" in done.stderr
        assert "capabilities: accept-bind-to-port, multi-models" in done.stderr
        assert "note:" not in done.stderr
        pulled = docker("pull", uri)
        assert pulled.returncode == 0, pulled.stderr
        again = project.push("push-test:v1", "--registry", host)
        assert (again.returncode, again.stdout) == (0, done.stdout)
        assert "is this image already: nothing is pushed" in again.stderr
        docker("rmi", uri)


@needs_docker
@needs_registry
def test_an_image_that_sagemaker_would_refuse_fails_and_leaves_no_uri(
    project: Project, tmp_path: Path
) -> None:
    (project.folder / "Dockerfile").write_text(DOCKERFILE + "ENTRYPOINT train --fast\n")
    file = tmp_path / "uri"
    file.write_text("of an earlier run")
    with registry(tmp_path) as host:
        done = project.push("push-test:v1", "--registry", host, "--uri-file", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert "its ENTRYPOINT ['/bin/sh', '-c', 'train --fast'] is in shell form" in done.stderr
    assert not file.exists()


@needs_podman
@needs_registry
def test_an_image_for_graviton_is_pushed_with_a_word_on_what_takes_it(
    project: Project, tmp_path: Path
) -> None:
    with registry(tmp_path) as host:
        arguments = ("push-test:arm", "--engine", "podman", "--platform", "linux/arm64")
        done = project.push(*arguments, "--registry", host)
    assert done.returncode == 0, done.stderr
    assert "linux/arm64, 1 layers" in done.stderr
    assert "training, processing and transform take amd64" in done.stderr


@needs_docker
@needs_registry
def test_buildx_makes_dockers_manifest_without_attestations(
    project: Project, tmp_path: Path, buildx: Path
) -> None:
    plugins = Path(project.environment["DOCKER_CONFIG"]) / "cli-plugins"
    plugins.mkdir()
    (plugins / "docker-buildx").symlink_to(buildx)
    with registry(tmp_path) as host:
        done = project.push("push-test:buildx", "--registry", host)
        assert done.returncode == 0, done.stderr
        assert "+ docker buildx build" in done.stderr
        assert manifest(done.stdout.strip())[0] == DOCKER_MANIFEST


@needs_podman
@needs_registry
def test_podman_makes_dockers_manifest(project: Project, tmp_path: Path) -> None:
    with registry(tmp_path) as host:
        arguments = ("push-test:v1", "--registry", host, "--engine", "podman")
        done = project.push(*arguments)
        assert done.returncode == 0, done.stderr
        assert manifest(done.stdout.strip())[0] == DOCKER_MANIFEST
        again = project.push(*arguments)
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr
    assert "nothing is pushed" in again.stderr


@needs_docker
@needs_registry
def test_a_login_that_the_registry_refuses_is_told_before_the_build(
    project: Project, tmp_path: Path
) -> None:
    login = password_file(tmp_path / "htpasswd", "me", "right")
    with registry(tmp_path, options={"auth": login}) as host:
        project.environment |= {"REGISTRY_USER": "me", "REGISTRY_PASSWORD": "wrong"}
        refused = project.push("push-test:v1", "--registry", host)
        assert refused.returncode == 1
        assert "the registry refuses the login" in refused.stderr
        assert "docker build" not in refused.stderr
        project.environment["REGISTRY_PASSWORD"] = "right"  # noqa: S105
        done = project.push("push-test:v1", "--registry", host)
        assert done.returncode == 0, done.stderr
    stored = json.loads((Path(project.environment["DOCKER_CONFIG"]) / "config.json").read_text())
    assert base64.b64decode(stored["auths"][host]["auth"]) == b"me:right"


@needs_docker
@needs_registry
def test_a_push_that_failed_leaves_no_uri_and_can_be_run_again(
    project: Project, tmp_path: Path
) -> None:
    file = tmp_path / "uri"
    read_only = {"storage": ["maintenance: {readonly: {enabled: true}}"]}
    with registry(tmp_path, options=read_only) as host:
        failed = project.push("push-test:v1", "--registry", host, "--uri-file", file)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "the push failed: " in failed.stderr
    assert not file.exists()
    with registry(tmp_path) as host:
        done = project.push("push-test:v1", "--registry", host, "--uri-file", file)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == done.stdout


@needs_podman
@needs_registry
def test_a_full_disk_is_told_with_what_frees_it(project: Project, tmp_path: Path) -> None:
    full = tmp_path / "graph"
    full.mkdir()
    (project.folder / "Dockerfile").write_bytes(DOCKERFILE.encode() + b"# " + bytes(5_000_000))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", full])
    if mounted.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        done = project.push(
            "push-test:v1", "--registry", "127.0.0.1:1", "--engine", "podman", "--no-push"
        )
    finally:
        subprocess.run(["umount", "-l", full], check=True)
    assert done.returncode == 1
    assert "'podman system prune' frees it" in done.stderr


@needs_docker_command
def test_an_engine_that_does_not_answer_is_told(project: Project) -> None:
    project.environment["DOCKER_HOST"] = "tcp://127.0.0.1:1"
    done = project.push("push-test:v1", "--engine", "docker", "--no-push")
    assert done.returncode == 1
    assert "no Docker engine answers" in done.stderr
