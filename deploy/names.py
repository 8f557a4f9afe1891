"""Names of what the commands make: they begin with the project's, or no policy would allow it."""

import hashlib
import json
from typing import Any

from deploy.errors import DeployError
from deploy.session import Aws


def ours(aws: Aws, name: str) -> str:
    """Give a name as it is.

    Raises:
        DeployError: `delete` would not find it, nor the user's policy allow it.
    """
    if not name.startswith(f"{aws.project}-"):
        raise DeployError(
            f"The name {name} does not begin with {aws.project}-, by which `status` and `delete` "
            "find things: choose another, or another --project."
        )
    return name


def endpoint(aws: Aws, name: str | None) -> str:
    """Give the name of an endpoint: the given one, or the project's."""
    return ours(aws, name or f"{aws.project}-endpoint")


def by_content(stem: str, request: dict[str, Any]) -> str:
    """Name a thing that cannot be changed after its content, so that the same one is made once."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return f"{stem}-{digest[:10]}"
