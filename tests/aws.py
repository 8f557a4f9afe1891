"""AWS on loopback: the account of moto, and a Docker registry where ECR keeps images."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest

from tests.docker import engine_answers
from tests.ports import free_port

REGION = "eu-central-1"
ACCOUNT = "123456789012"
"""moto's account."""
REGISTRY_PASSWORD = f"{ACCOUNT}-auth-token"
"""The password that moto's ECR gives for the user AWS."""

ECR = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
"""The name of that account's registry."""

_CERTIFICATES = Path("/etc/docker/certs.d") / ECR
_MARK = "# tests of brain-tumor"

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None,
    reason="no docker-registry (apt-get install docker-registry): nothing was pushed to one",
)


@contextmanager
def registry(
    folder: Path, port: int | None = None, options: Mapping[str, Sequence[str]] | None = None
) -> Iterator[str]:
    """Run a Docker registry on loopback that holds nothing; give its name, 127.0.0.1:PORT.

    Args:
        folder: where it keeps its files.
        port: one that is free by default.
        options: further lines of its configuration, below their heading.
    """
    port = port or free_port()
    sections = {
        "storage": [f"filesystem: {{rootdirectory: {folder / 'storage'}}}"],
        "http": [f"addr: 127.0.0.1:{port}"],
    }
    for name, lines in (options or {}).items():
        sections[name] = [*sections.get(name, []), *lines]
    text = "".join(
        f"{name}:\n" + "".join(f"  {line}\n" for line in lines) for name, lines in sections.items()
    )
    (folder / "registry.yml").write_text(f"version: 0.1\n{text}")
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", folder / "registry.yml"], stdout=log, stderr=log
        )
    try:
        _wait_for_connections(process, port, folder / "registry.log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for_connections(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def password_file(path: Path, user: str, password: str) -> list[str]:
    """Write the one login that a registry takes; give the lines of its section `auth`."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    path.write_text(f"{user}:{hashed}\n")
    return [f"htpasswd: {{realm: test, path: {path}}}"]


def no_ecr_registry() -> str:
    """Tell why `ecr_registry` cannot be had here; nothing where it can."""
    if os.geteuid() != 0 or os.environ.get("BRAIN_TUMOR_ECR_NAME") != "yes":
        return f"root and BRAIN_TUMOR_ECR_NAME=yes are needed to lead {ECR} to loopback"
    if shutil.which("docker-registry") is None or not engine_answers():
        return "docker-registry and a Docker engine are needed to push to ECR's name"
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 443)) == 0:
            return "something listens on port 443"
    return ""


@contextmanager
def ecr_registry(folder: Path) -> Iterator[None]:
    """Let ECR's own name lead to a registry on loopback, with TLS, that keeps files in `folder`.

    The user is AWS, the password the one that moto's ECR gives out.
    """
    login = password_file(folder / "htpasswd", "AWS", REGISTRY_PASSWORD)
    with (
        _certificate(folder) as tls,
        _named_in_hosts(),
        registry(folder, 443, {"http": tls, "auth": login}),
    ):
        yield


@contextmanager
def _named_in_hosts() -> Iterator[None]:
    """Let ECR's name lead to loopback, for every program of this machine, until the block ends."""
    hosts = Path("/etc/hosts")

    def write(*more: str) -> None:
        kept = [line for line in hosts.read_text().splitlines() if _MARK not in line]
        hosts.write_text("".join(f"{line}\n" for line in (*kept, *more)))

    write(f"127.0.0.1 {ECR} {_MARK}")
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
    _CERTIFICATES.mkdir(parents=True, exist_ok=True)
    shutil.copy(certificate, _CERTIFICATES / "ca.crt")
    try:
        yield [f"tls: {{certificate: {certificate}, key: {key}}}"]
    finally:
        shutil.rmtree(_CERTIFICATES)
        if not any(_CERTIFICATES.parent.iterdir()):
            _CERTIFICATES.parent.rmdir()
