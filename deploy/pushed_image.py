"""Read an image back from its registry and judge whether SageMaker takes it.

It needs nothing but Python's standard library, from Python 3.9 on: build_and_push.sh runs it on
machines that have no environment of this project.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import ssl
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DOCKER = "application/vnd.docker.distribution.manifest"
DOCKER_MANIFEST = f"{_DOCKER}.v2+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_LISTS = (f"{_DOCKER}.list.v2+json", "application/vnd.oci.image.index.v1+json")
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"

CAPABILITIES = "com.amazonaws.sagemaker.capabilities."
"""Labels by which an image tells SageMaker what it can do; each is `true` or absent."""
LACKING = {
    "accept-bind-to-port": "an inference pipeline of several containers will refuse it",
    "multi-models": "a multi-model endpoint will refuse it",
}
MAX_LAYER_BYTES = 52_000 * 2**20  # Amazon ECR's quota for one layer
SERVERLESS_BYTES = 10 * 10**9  # the largest image for a serverless endpoint
MAX_URI = 255  # the longest image name that SageMaker's API takes


class RegistryError(Exception):
    """The registry cannot be reached, or refuses."""


class NotThereError(RegistryError):
    """The registry holds nothing of this name."""


@dataclass(frozen=True)
class PushedImage:
    """What a registry holds under a tag; an index has no configuration."""

    digest: str
    media_type: str
    manifest: dict[str, Any]
    configuration: dict[str, Any]

    @property
    def identifier(self) -> str:
        """The digest of the configuration, which Docker and Podman call the image's id."""
        return str(self.manifest.get("config", {}).get("digest", ""))

    @property
    def layer_bytes(self) -> list[int]:
        """The compressed size of each layer."""
        return [layer["size"] for layer in self.manifest.get("layers", [])]

    @property
    def run(self) -> dict[str, Any]:
        """How a container of it is run: Entrypoint, Cmd, Labels, User."""
        return dict(self.configuration.get("config") or {})

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        return dict(self.run.get("Labels") or {})


# ---- Asking the registry --------------------------------------------------------------------


def _is_loopback(registry: str) -> bool:
    return registry.startswith(("localhost", "127.", "[::1]"))


def _opener(registry: str) -> urllib.request.OpenerDirector:
    """Trust the certificates that Docker was told to trust for this registry."""
    if _is_loopback(registry):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    context = ssl.create_default_context()
    for folder in (Path("/etc/docker/certs.d"), Path.home() / ".docker/certs.d"):
        for certificate in (folder / registry).glob("*.crt"):
            context.load_verify_locations(certificate)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))


def _get(registry: str, path: str, credentials: str) -> tuple[bytes, str]:
    """Give body and Content-Type of a path of the registry's API."""
    # As Docker does: plain HTTP on loopback, TLS everywhere else.
    scheme = "http" if _is_loopback(registry) else "https"
    request = urllib.request.Request(f"{scheme}://{registry}/v2/{path}")  # noqa: S310
    request.add_header("Accept", ", ".join((DOCKER_MANIFEST, *_LISTS, _OCI_MANIFEST, "*/*")))
    if credentials:
        # Unredirected: ECR sends to S3 for a blob, and S3 refuses a second kind of authorization.
        encoded = base64.b64encode(credentials.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {encoded}")
    try:
        with _opener(registry).open(request, timeout=60) as reply:
            return reply.read(), reply.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise NotThereError(f"{registry} holds no {path}") from error
        hint = ": the login has expired or lacks rights" if error.code in (401, 403) else ""
        raise RegistryError(f"{registry} answers {error.code} for {path}{hint}") from error
    except OSError as error:
        raise RegistryError(f"{registry} cannot be reached: {error}") from error


def read(registry: str, repository: str, tag: str, credentials: str = "") -> PushedImage:
    """Read manifest and configuration.

    Args:
        registry: host, with a port where it is not 443, such as 127.0.0.1:5000.
        repository: name within the registry.
        tag: a tag or a digest.
        credentials: `user:password`, or nothing for a registry that asks for none.

    Raises:
        NotThereError: there is no such tag.
        RegistryError: the registry cannot be reached, or refuses.
    """
    body, media_type = _get(registry, f"{repository}/manifests/{tag}", credentials)
    try:
        manifest = json.loads(body)
    except ValueError as error:
        raise RegistryError(f"{registry} answers {media_type}, no manifest") from error
    configuration = {}
    if "config" in manifest:
        blob, _ = _get(registry, f"{repository}/blobs/{manifest['config']['digest']}", credentials)
        configuration = json.loads(blob)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    return PushedImage(digest, media_type, manifest, configuration)


# ---- Judging --------------------------------------------------------------------------------


def faults(image: PushedImage, architecture: str) -> list[str]:
    """Say why SageMaker would refuse the image; nothing when it takes it."""
    if image.media_type in _LISTS:
        return [_fault_of_index(image)]
    found = []
    if image.media_type != DOCKER_MANIFEST:
        found.append(
            f"its manifest is '{image.media_type}', but SageMaker takes only '{DOCKER_MANIFEST}'; "
            "with Docker install its plugin buildx, or turn off 'Use containerd for pulling and "
            "storing images' in its settings, and push again"
        )
    found += _faults_of_layers(image)
    platform = f"{image.configuration.get('os')}/{image.configuration.get('architecture')}"
    if platform != f"linux/{architecture}":
        found.append(f"it is for {platform}, not for linux/{architecture}: see --platform")
    return found + _faults_of_run(image)


def _fault_of_index(image: PushedImage) -> str:
    entries = image.manifest.get("manifests", [])
    attestations = sum(
        entry.get("annotations", {}).get("vnd.docker.reference.type") == "attestation-manifest"
        for entry in entries
    )
    return (
        f"it is an index '{image.media_type}' of {len(entries)} manifests, {attestations} of them "
        f"attestations, but SageMaker takes only one '{DOCKER_MANIFEST}'; "
        "build for one platform, without provenance and SBOM"
    )


def _faults_of_layers(image: PushedImage) -> list[str]:
    found = []
    kinds = {layer["mediaType"] for layer in image.manifest.get("layers", [])} - {DOCKER_LAYER}
    # Those of an OCI manifest are named with it.
    if kinds and image.media_type == DOCKER_MANIFEST:
        found.append(f"layers are {sorted(kinds)}, but Docker's format has '{DOCKER_LAYER}'")
    largest = max(image.layer_bytes, default=0)
    if largest > MAX_LAYER_BYTES:
        found.append(f"a layer has {largest} bytes; ECR takes at most {MAX_LAYER_BYTES}")
    return found


def _faults_of_run(image: PushedImage) -> list[str]:
    found = []
    entrypoint = image.run.get("Entrypoint") or []
    if entrypoint[1:2] == ["-c"]:
        found.append(
            f"its ENTRYPOINT {entrypoint} is in shell form, which drops the words `train` and "
            '`serve` and gets no SIGTERM; write it as a list: ENTRYPOINT ["program"]'
        )
    for label, value in image.labels.items():
        if label.startswith(CAPABILITIES) and value != "true":
            found.append(f"its label {label} is '{value}'; SageMaker looks for 'true'")
    return found


def notes(image: PushedImage) -> list[str]:
    """Say what the image is not fit for, although SageMaker takes it."""
    found = [
        f"the label {CAPABILITIES}{name}=true is missing: {consequence}"
        for name, consequence in LACKING.items()
        if CAPABILITIES + name not in image.labels
    ]
    if image.configuration.get("architecture") == "arm64":
        found.append(
            "arm64 is for endpoints on Graviton instances (ml.c7g, ml.m8g, ml.r8g and the like); "
            "training, processing and transform take amd64"
        )
    if sum(image.layer_bytes) > SERVERLESS_BYTES:
        found.append("it has more than 10 GB: a serverless endpoint will refuse it")
    if image.run.get("User") not in (None, "", "0", "root", "0:0", "root:root"):
        found.append(f"it runs as user {image.run['User']}, but SageMaker expects root")
    return found


def describe(image: PushedImage) -> str:
    """Say in one line what the image is."""
    capabilities = [name[len(CAPABILITIES) :] for name in image.labels if CAPABILITIES in name]
    return (
        f"linux/{image.configuration['architecture']}, {len(image.layer_bytes)} layers, "
        f"{sum(image.layer_bytes) / 1e6:.1f} MB compressed, "
        f"capabilities: {', '.join(sorted(capabilities)) or 'none'}"
    )


# ---- The command ----------------------------------------------------------------------------


def _say(message: str) -> None:
    print(f"build_and_push.sh: {message}", file=sys.stderr)


def _judge(image: PushedImage, name: str, architecture: str, identifier: str) -> int:
    found = faults(image, architecture)
    uri = f"{name.rsplit(':', 1)[0]}@{image.digest}"
    if len(uri) > MAX_URI:
        found.append(f"'{uri}' has {len(uri)} characters; SageMaker takes {MAX_URI}")
    if not found and identifier not in (image.identifier, image.digest):
        found.append(
            f"it is {image.identifier}, not {identifier}, which was pushed: somebody else pushed "
            "to this tag just now; push again, or to a tag of your own"
        )
    for fault in found:
        _say(f"SageMaker would refuse {name}: {fault}")
    if found:
        return 1
    _say(f"{name}: {describe(image)}")
    for note in notes(image):
        _say(f"note: {note}")
    print(uri)
    return 0


def main() -> int:
    """Print digest and id of what is there (--existing), or judge it and print its digest URI."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="REGISTRY/REPOSITORY:TAG; credentials come on stdin")
    parser.add_argument("--existing", action="store_true", help="print digest and id, or nothing")
    parser.add_argument("--architecture", default="amd64", help="the one that is wanted")
    parser.add_argument("--id", help="the id of the image that was pushed")
    options = parser.parse_args()
    registry, rest = options.name.split("/", 1)
    repository, tag = rest.rsplit(":", 1)
    try:
        image = read(registry, repository, tag, sys.stdin.read().strip())
    except RegistryError as error:
        if options.existing and isinstance(error, NotThereError):
            return 0
        _say(str(error))
        return 1
    if options.existing:
        # In another format it is not what would be pushed, even if it is made of the same.
        print(image.digest, image.identifier if image.media_type == DOCKER_MANIFEST else "")
        return 0
    return _judge(image, options.name, options.architecture, options.id)


if __name__ == "__main__":
    sys.exit(main())
