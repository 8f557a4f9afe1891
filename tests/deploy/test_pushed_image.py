"""What is refused of an image, and why: manifests put into a real registry, and read back."""

import ast
import hashlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.aws import needs_registry, password_file, registry
from tests.jobs import ROOT

pytestmark = needs_registry

SCRIPT = ROOT / "deploy" / "pushed_image.py"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
PREFIX = "com.amazonaws.sagemaker.capabilities."
LABELS = {f"{PREFIX}accept-bind-to-port": "true", f"{PREFIX}multi-models": "true"}


class Held:
    """A registry into which a test puts what it likes."""

    def __init__(self, host: str) -> None:
        self.host = host

    def _send(self, method: str, url: str, body: bytes, kind: str) -> str:
        asked = urllib.request.Request(url, body, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(asked, timeout=10) as reply:
            return str(reply.headers.get("Location", ""))

    def blob(self, body: bytes, kind: str) -> dict[str, Any]:
        """Put a blob; give its descriptor."""
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        place = self._send("POST", f"http://{self.host}/v2/it/blobs/uploads/", b"", "")
        self._send("PUT", f"{place}&digest={digest}", body, "application/octet-stream")
        return {"mediaType": kind, "size": len(body), "digest": digest}

    def manifest(self, body: dict[str, Any], tag: str = "v1") -> str:
        """Put a manifest; give its digest."""
        sent = json.dumps({"schemaVersion": 2, **body}).encode()
        self._send("PUT", f"http://{self.host}/v2/it/manifests/{tag}", sent, body["mediaType"])
        return f"sha256:{hashlib.sha256(sent).hexdigest()}"

    def image(
        self,
        *,
        kind: str = DOCKER,
        layer: str = LAYER,
        size: int = 0,
        architecture: str = "amd64",
        **run: Any,
    ) -> tuple[str, str]:
        """Put an image that SageMaker takes but for what is named; give digest and id.

        Args:
            kind: media type of the manifest.
            layer: media type of its one layer.
            size: bytes of the layer by the manifest; those that it has by default.
            architecture: of the configuration.
            run: of the configuration too: Entrypoint, Labels, User.
        """
        configuration = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": LABELS, **run},
        }
        kind_of_config = "application/vnd.docker.container.image.v1+json"
        config = self.blob(json.dumps(configuration).encode(), kind_of_config)
        layers = [self.blob(b"layer", layer)]
        if size:
            layers[0]["size"] = size
        body = {"mediaType": kind, "config": config, "layers": layers}
        return self.manifest(body), config["digest"]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    """Give a registry."""
    with registry(tmp_path_factory.mktemp("registry")) as host:
        yield Held(host)


def judge(
    held: Held, *options: str, tag: str = "v1", credentials: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the script on what is there."""
    command = [sys.executable, "-I", str(SCRIPT), f"{held.host}/it:{tag}", *options]
    return subprocess.run(command, input=credentials, capture_output=True, text=True)


def test_an_image_that_sagemaker_takes_is_named_by_its_digest(held: Held) -> None:
    digest, identifier = held.image()
    done = judge(held, "--id", identifier)
    assert (done.returncode, done.stdout) == (0, f"{held.host}/it@{digest}\n"), done.stderr
    assert "linux/amd64, 1 layers" in done.stderr
    assert "note:" not in done.stderr
    assert judge(held, "--existing").stdout.split() == [digest, identifier]


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"kind": OCI}, f"'{OCI}', but SageMaker takes only '{DOCKER}'; with Docker install"),
        ({"layer": "application/vnd.oci.image.layer.v1.tar+zstd"}, "layers are ['application/vnd"),
        ({"architecture": "arm64"}, "it is for linux/arm64, not for linux/amd64"),
        ({"Entrypoint": ["/bin/sh", "-c", "train"]}, "is in shell form"),
        ({"Labels": {f"{PREFIX}multi-models": "True"}}, f"label {PREFIX}multi-models is 'True'"),
        ({"size": 52_001 * 2**20}, "a layer has 54527000576 bytes; ECR takes at most"),
    ],
)
def test_what_sagemaker_or_ecr_refuses_is_refused_with_the_reason(
    held: Held, image: dict[str, Any], reason: str
) -> None:
    _, identifier = held.image(**image)
    done = judge(held, "--id", identifier)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_an_index_with_attestations_is_refused_and_they_are_counted(held: Held) -> None:
    digest, identifier = held.image()
    entry = {"mediaType": DOCKER, "digest": digest, "size": 1}
    attested = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
    held.manifest({"mediaType": OCI_INDEX, "manifests": [entry, {**entry, **attested}]})
    done = judge(held, "--id", identifier)
    assert done.returncode == 1
    assert f"an index '{OCI_INDEX}' of 2 manifests, 1 of them attestations" in done.stderr
    assert "Traceback" not in done.stderr


def test_another_image_under_the_tag_than_was_pushed_is_refused(held: Held) -> None:
    held.image()
    done = judge(held, "--id", "sha256:mine")
    assert done.returncode == 1
    assert "not sha256:mine, which was pushed: somebody else pushed to this tag" in done.stderr


@pytest.mark.parametrize(
    ("image", "note"),
    [
        ({"Labels": {}}, "accept-bind-to-port=true is missing: an inference pipeline"),
        ({"Labels": {}}, "multi-models=true is missing: a multi-model endpoint"),
        ({"User": "1000"}, "it runs as user 1000, but SageMaker expects root"),
        ({"size": 10**10 + 1}, "more than 10 GB: a serverless endpoint will refuse it"),
    ],
)
def test_what_an_image_is_not_fit_for_is_noted_and_no_failure(
    held: Held, image: dict[str, Any], note: str
) -> None:
    _, identifier = held.image(**image)
    done = judge(held, "--id", identifier)
    assert done.returncode == 0, done.stderr
    assert note in done.stderr


def test_a_tag_that_is_not_there_is_nothing_to_one_who_asks_and_a_fault_after_a_push(
    held: Held,
) -> None:
    asked = judge(held, "--existing", tag="absent")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")
    judged = judge(held, "--id", "sha256:mine", tag="absent")
    assert judged.returncode == 1
    assert "holds no it/manifests/absent" in judged.stderr


def test_the_same_image_in_another_format_does_not_pass_for_what_would_be_pushed(
    held: Held,
) -> None:
    digest, _ = held.image(kind=OCI)
    assert judge(held, "--existing").stdout.split() == [digest]


def test_a_registry_that_does_not_answer_is_told_in_a_sentence() -> None:
    done = judge(Held("127.0.0.1:1"), "--existing")
    assert done.returncode == 1
    assert "127.0.0.1:1 cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_reader_keeps_to_the_grammar_of_python_3_9() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 9))


class _Storage(BaseHTTPRequestHandler):
    """Gives a file below `root`, and refuses who logs in too, as S3 does with ECR's layers."""

    root: Path

    def do_GET(self) -> None:
        refused = "Authorization" in self.headers
        self.send_response(400 if refused else 200)
        self.end_headers()
        self.wfile.write(b"" if refused else (self.root / self.path.lstrip("/")).read_bytes())

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def test_the_login_stays_with_the_registry_when_that_sends_to_a_storage(tmp_path: Path) -> None:
    handler = type("Storage", (_Storage,), {"root": tmp_path / "storage"})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as storage:
        threading.Thread(target=storage.serve_forever, daemon=True).start()
        with registry(tmp_path) as host:
            _, identifier = Held(host).image()
        login = password_file(tmp_path / "htpasswd", "AWS", "token")
        options = f"{{baseurl: http://127.0.0.1:{storage.server_port}/}}"
        redirect = f"storage: [{{name: redirect, options: {options}}}]"
        with registry(tmp_path, options={"auth": login, "middleware": [redirect]}) as host:
            done = judge(Held(host), "--id", identifier, credentials="AWS:token")
            refused = judge(Held(host), "--id", identifier, credentials="AWS:old")
        storage.shutdown()
    assert done.returncode == 0, done.stderr
    assert refused.returncode == 1
    assert "answers 401 for it/manifests/v1: the login has expired" in refused.stderr
