"""The server's OpenAPI document: true, complete, and kept by the server whatever is sent.

That each reply of the other tests is one of those it promises is checked by `tests.server.request`.
"""

import json
import subprocess
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from brain_tumor.serving.app import create_app
from brain_tumor.serving.holder import ModelHolder
from brain_tumor.settings import Settings
from tests.jobs import BIN
from tests.openapi import document
from tests.ports import free_port
from tests.server import Server

# Not that bad data are refused: any bytes are a string to OpenAPI, but few are an image.
_CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
]


def test_nothing_that_schemathesis_sends_makes_the_server_break_its_own_description(
    server: Server, tmp_path: Path
) -> None:
    _run_schemathesis(server, tmp_path)


def _run_schemathesis(server: Server, folder: Path) -> None:
    url = f"http://127.0.0.1:{server.port}/openapi.json"
    options = ["--checks", ",".join(_CHECKS), "--max-examples", "20", "--seed", "1"]
    ended = subprocess.run(
        [BIN / "schemathesis", "run", url, *options], cwd=folder, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]


def test_the_description_is_valid_openapi_3_1_and_the_server_gives_it(server: Server) -> None:
    reply = server.request("GET", "/openapi.json")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    given = json.loads(reply.body)
    validate(given)
    assert given["openapi"].startswith("3.1")
    # No route for many models on a server of one.
    assert {path: given["paths"].get(path) for path in document()["paths"]} == {
        path: None if path.startswith("/models") else operations
        for path, operations in document()["paths"].items()
    }
    assert given["components"] == document()["components"]


def test_every_route_and_method_of_the_application_is_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = create_app(Settings(), ModelHolder())
    monkeypatch.setenv("SAGEMAKER_MULTI_MODEL", "true")
    many = create_app(Settings())
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for app in (one, many)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {
        (path, method)
        for path, operations in document()["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert routes == described


def test_an_endpoint_of_many_models_keeps_to_its_description_too(tmp_path: Path) -> None:
    settings = {"SAGEMAKER_MULTI_MODEL": "true"}
    with Server.start(tmp_path, free_port(), tmp_path / "log", **settings) as many:
        many.wait_until_ready()
        _run_schemathesis(many, tmp_path)
