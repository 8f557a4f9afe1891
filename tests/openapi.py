"""Whether a reply is one of those that the server's OpenAPI document promises."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule


@cache
def document() -> dict[str, Any]:
    """Read the description that the server gives at /openapi.json."""
    text = resources.files("brain_tumor.serving").joinpath("openapi.json").read_text()
    read: dict[str, Any] = json.loads(text)
    return read


def assert_documented(
    method: str, target: str, status: int, headers: Mapping[str, str], body: bytes
) -> None:
    """Fail where status, media type or JSON of a reply are none of those documented."""
    operation = _operation(method, urlsplit(target).path)
    asked = f"{method} {target} -> {status}"
    if operation is None:
        # No such route, or not this method.
        assert status in (404, 405), f"{asked} is documented nowhere"
        responses = {str(status): {"$ref": "#/components/responses/Error"}}
    else:
        responses = operation["responses"]
    assert str(status) in responses, f"{asked}: documented are {list(responses)}"
    response = _resolve(responses[str(status)])
    for name, header in response.get("headers", {}).items():
        assert name in headers or not header.get("required"), f"{asked} lacks {name}"
    if method == "HEAD":
        return
    _assert_body(asked, response.get("content", {}), headers.get("Content-Type", ""), body)


def _assert_body(asked: str, content: Mapping[str, Any], given: str, body: bytes) -> None:
    if not content:
        assert body == b"", f"{asked}: no body is documented"
        return
    media_type = given.split(";")[0]
    assert media_type in content, f"{asked} has type {media_type!r}; documented: {list(content)}"
    if media_type == "application/json":
        _validator(json.dumps(content[media_type]["schema"])).validate(json.loads(body))


def _operation(method: str, path: str) -> dict[str, Any] | None:
    try:
        template, _ = _routes().match(path, "GET" if method == "HEAD" else method)
    except (NotFound, MethodNotAllowed):
        return None
    operation: dict[str, Any] = document()["paths"][template][
        "get" if method == "HEAD" else method.lower()
    ]
    return operation


@cache
def _routes() -> Any:
    """Match paths as the server's own router does."""
    rules = [
        Rule(
            template.replace("{", "<").replace("}", ">"),
            endpoint=template,
            methods=[method for method in operations if method in ("get", "post", "delete")],
        )
        for template, operations in document()["paths"].items()
    ]
    return Map(rules, strict_slashes=False).bind("localhost")


@cache
def _validator(schema: str) -> jsonschema_rs.Validator:
    # References are looked up from the root.
    return jsonschema_rs.validator_for(
        {**json.loads(schema), "components": document()["components"]}
    )


def _resolve(found: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in found:
        return found
    *_, kind, name = found["$ref"].split("/")
    resolved: dict[str, Any] = document()["components"][kind][name]
    return resolved
