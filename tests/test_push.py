"""build_and_push.sh for real: a real engine, a real registry, moto for ECR."""

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.aws import (
    ACCOUNT,
    REGION,
    REGISTRY_PASSWORD,
    needs_registry,
    password_file,
    registry,
)
from tests.deploy import loopback
from tests.docker import docker, engine_answers, needs_docker
from tests.jobs import BIN, ROOT

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
MARK = "# tests of brain-tumor"
DOCKERFILE = """\
FROM scratch
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \\
    com.amazonaws.sagemaker.capabilities.multi-models=true
COPY Dockerfile /
CMD ["train"]
"""
CERTIFICATES = Path("/etc/docker/certs.d") / ECR

needs_docker_command = pytest.mark.skipif(
    shutil.which("docker") is None, reason="there is no command docker"
)
needs_podman = pytest.mark.skipif(
    shutil.which("podman") is None or os.geteuid() != 0,
    reason="no podman, or not root: it was not tested to push",
)


@dataclass
class Project:
    """A folder with a Dockerfile, and how it is pushed."""

    folder: Path
    environment: dict[str, str]

    def push(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run the script on this folder."""
        command = [ROOT / "build_and_push.sh", *arguments, "--context", self.folder]
        return subprocess.run(
            [*map(str, command)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Give a project whose image takes a second; its images go with it."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    # Logins of its own, so that none of the user's is touched.
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text("{}")
    # Podman's images too.
    storage = tmp_path / "storage.conf"
    storage.write_text(
        f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path / "run"}"\n'
        f'graphroot = "{tmp_path / "graph"}"\n'
    )
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {
        **inherited,
        **loopback.environment("http://127.0.0.1:1", tmp_path),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "CONTAINERS_STORAGE_CONF": str(storage),
    }
    yield Project(folder, environment)
    if engine_answers():
        listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
        docker("rmi", *(name for name in listed if "push-test" in name))


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


@contextmanager
def _named_in_hosts() -> Iterator[None]:
    """Let ECR's name lead to loopback, for every program of this machine, until the block ends."""
    hosts = Path("/etc/hosts")

    def write(*more: str) -> None:
        kept = [line for line in hosts.read_text().splitlines() if MARK not in line]
        hosts.write_text("".join(f"{line}\n" for line in (*kept, *more)))

    write(f"127.0.0.1 {ECR} {MARK}")
    try:
        yield
    finally:
        write()


@contextmanager
def _certificate(folder: Path) -> Iterator[Sequence[str]]:
    """Sign a certificate for ECR's name, which Docker trusts until the block ends."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", "/CN=ECR", "-addext", f"subjectAltName=DNS:{ECR}"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    CERTIFICATES.mkdir(parents=True, exist_ok=True)
    shutil.copy(certificate, CERTIFICATES / "ca.crt")
    try:
        yield [f"tls: {{certificate: {certificate}, key: {key}}}"]
    finally:
        shutil.rmtree(CERTIFICATES)
        if not any(CERTIFICATES.parent.iterdir()):
            CERTIFICATES.parent.rmdir()


@pytest.fixture
def ecr(project: Project, tmp_path: Path) -> Iterator[Project]:
    """Give a project on a machine where ECR's own name leads to a registry on loopback.

    The user is AWS, the password the one that moto's ECR gives out, the repositories moto's.
    """
    if os.geteuid() != 0 or os.environ.get("BRAIN_TUMOR_ECR_NAME") != "yes":
        pytest.skip(f"root and BRAIN_TUMOR_ECR_NAME=yes are needed to lead {ECR} to loopback")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 443)) == 0:
            pytest.skip("something listens on port 443")
    login = password_file(tmp_path / "htpasswd", "AWS", REGISTRY_PASSWORD)
    with (
        loopback.moto_server() as url,
        _certificate(tmp_path) as tls,
        _named_in_hosts(),
        registry(tmp_path, 443, {"http": tls, "auth": login}),
    ):
        project.environment["AWS_ENDPOINT_URL"] = url
        yield project


@needs_docker
@needs_registry
def test_a_push_to_ecr_makes_the_repository_and_logs_in(ecr: Project) -> None:
    done = ecr.push("team/push-test:v1", "--immutable")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{ECR}/team/push-test@sha256:")
    assert REGISTRY_PASSWORD not in done.stderr
    client = boto3.client("ecr", REGION, endpoint_url=ecr.environment["AWS_ENDPOINT_URL"], **KEYS)
    (made,) = client.describe_repositories()["repositories"]
    assert made["imageScanningConfiguration"] == {"scanOnPush": True}
    assert made["imageTagMutability"] == "IMMUTABLE"
    tags = client.list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "brain-tumor-project", "Value": "brain-tumor"}]
    assert _kept(client) == 10

    # The same again is no error; another image under the same tag is, before it is built.
    again = ecr.push("team/push-test:v1", "--keep-untagged", "3")
    assert (again.returncode, again.stdout) == (0, done.stdout), again.stderr
    assert "nothing is pushed" in again.stderr
    assert _kept(client) == 3
    docker("rmi", "team/push-test:v1")
    refused = ecr.push("team/push-test:v1", "--build-arg", "changed=yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the tag v1 is there, and the tags of team/push-test are immutable" in refused.stderr
    assert "+ docker build" not in refused.stderr


def _kept(client: Any) -> int:
    """Give the number of untagged images that the one rule of the repository keeps."""
    held = client.get_lifecycle_policy(repositoryName="team/push-test")
    (rule,) = json.loads(held["lifecyclePolicyText"])["rules"]
    selection = rule["selection"]
    assert (selection["tagStatus"], rule["action"]) == ("untagged", {"type": "expire"})
    assert selection["countType"] == "imageCountMoreThan"
    return int(selection["countNumber"])


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


class _Refusal(BaseHTTPRequestHandler):
    """Answers as AWS does that refuses with the code that stands in the path."""

    def do_POST(self) -> None:
        code = self.path.strip("/")
        body = json.dumps({"__type": code, "message": "refused"}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """Give the URL of an AWS that refuses all."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@needs_docker_command
@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "run 'aws configure'"),
        ({"AWS_PROFILE": "absent"}, "'aws configure list-profiles' tells which there are"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, f"there is no region {REGION}, or no way"),
        ({"code": "ExpiredTokenException"}, "run 'aws sso login'"),
        ({"code": "UnrecognizedClientException"}, "AWS does not know these credentials"),
        ({"code": "AccessDeniedException"}, "docs/push.md has the policy that a push needs"),
    ],
)
def test_what_the_real_aws_command_complains_of_is_known(
    project: Project, refusing: str, changed: dict[str, str], remedy: str
) -> None:
    code = changed.get("code", "Other")
    project.environment |= {
        "AWS_ENDPOINT_URL": f"{refusing}/{code}",
        "AWS_MAX_ATTEMPTS": "1",
        **changed,
    }
    done = project.push("push-test:v1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ECR does not tell of push-test: " in done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
