"""Kubernetes' own schemas."""

from typing import Any

import kubernetes_validate

# The oldest that deploy/kubernetes promises, and the newest that the tool knows.
VERSIONS = ("1.27", kubernetes_validate.latest_version())


def validate(document: dict[str, Any], *versions: str) -> None:
    """Fail where a field is wrong or unknown to one of these versions, or to any of `VERSIONS`."""
    for version in versions or VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def validate_pod(spec: dict[str, Any]) -> None:
    """The same for what stands in the spec of a pod."""
    validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})
