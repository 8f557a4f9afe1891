"""deploy/platforms: the image with a model in it, and each platform's file."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import pytest
import yaml
from botocore.validate import ParamValidator

from tests.deploy.kubernetes import validate_pod
from tests.deploy.served import assert_classifies, wait_until_healthy
from tests.deploy.tools import TOOLS, needs_tool
from tests.docker import build, container, docker, inspect, logs, needs_docker
from tests.jobs import ROOT

FILES = ROOT / "deploy/platforms"


@contextmanager
def _image_with_model(serve_image: str, trained: Path, folder: Path) -> Iterator[str]:
    """Build deploy/platforms/Dockerfile with a model whose files only their owner may read."""
    shutil.copytree(trained / "model", folder / "model")
    subprocess.run(["chmod", "-R", "go=", folder / "model"], check=True)
    tag = "brain-tumor:test-platform"
    dockerfile = FILES / "Dockerfile"
    yield build(tag, "--build-arg", f"IMAGE={serve_image}", "-f", dockerfile, folder)
    docker("rmi", "-f", tag)


@needs_docker
def test_an_image_with_the_model_in_it_listens_on_port_read_only_as_any_user(
    serve_image: str, trained: Path, tmp_path: Path
) -> None:
    with (
        _image_with_model(serve_image, trained, tmp_path) as image,
        container(
            *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user", "12345:54321"),  # noqa: S108
            *("-e", "PORT=5006", "-p", "127.0.0.1::5006", image),
        ) as server,
    ):
        port = int(docker("port", server, "5006").stdout.rsplit(":", 1)[1])
        wait_until_healthy(port)
        assert_classifies(port)
        assert "http://0.0.0.0:5006" in logs(server)
        assert inspect(image)["Config"]["User"] == "65532:65532"


# Heroku's page "Building Docker Images with heroku.yml": all that may stand there.
_HEROKU = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "setup": {"type": "object"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "docker": {"type": "object", "additionalProperties": {"type": "string"}},
                "config": {"type": "object"},
            },
        },
        "release": {"type": "object"},
        "run": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "command": {"type": "array", "items": {"type": "string"}},
                    "image": {"type": "string"},
                },
            },
        },
    },
}


def test_heroku_yml_has_the_documented_keys_and_runs_what_it_builds() -> None:
    document = yaml.safe_load((FILES / "heroku.yml").read_text())
    jsonschema.validate(document, _HEROKU)
    assert document["run"]["web"]["image"] in document["build"]["docker"]
    assert (FILES / document["build"]["docker"]["web"]).is_file()


@pytest.mark.parametrize(
    ("file", "service", "operation"),
    [
        ("ecs_express.json", "ecs", "CreateExpressGatewayService"),
        ("app_runner.json", "apprunner", "CreateService"),
    ],
)
def test_awss_api_takes_its_file(file: str, service: str, operation: str) -> None:
    document = json.loads((FILES / file).read_text())
    model = botocore.session.get_session().get_service_model(service)
    wanted = model.operation_model(operation).input_shape
    report = ParamValidator().validate(document, wanted)
    assert not report.has_errors(), report.generate_report()
    assert set(document) <= set(wanted.members)
    assert "/ping" in json.dumps(document)


@needs_tool("docker-compose")
def test_compose_takes_the_file_for_elastic_beanstalk() -> None:
    file = FILES / "docker-compose.yml"
    done = subprocess.run(
        [TOOLS / "docker-compose", "-f", file, "config", "--quiet"], capture_output=True, text=True
    )
    # Beanstalk's own Compose is older: nothing may be said to be obsolete either.
    assert (done.returncode, done.stderr) == (0, "")


def _json_schema(value: Any) -> Any:
    """Turn Google's way of describing an API into JSON Schema; what it does not name is refused."""
    if isinstance(value, list):
        return [_json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {name: _json_schema(inner) for name, inner in value.items()}
    if isinstance(value.get("$ref"), str):
        made["$ref"] = f"#/$defs/{value['$ref']}"
    if "properties" in value:
        made["additionalProperties"] = False
    return made


@needs_tool("cloud-run.json")
def test_cloud_runs_api_takes_its_service_and_knows_its_annotations() -> None:
    service = yaml.safe_load((FILES / "cloud_run.yaml").read_text())
    schemas = json.loads((TOOLS / "cloud-run.json").read_text())["schemas"]
    checked = jsonschema.Draft202012Validator(
        {"$ref": "#/$defs/Service", "$defs": _json_schema(schemas)}
    )
    checked.validate(service)
    told = schemas["ObjectMeta"]["properties"]["annotations"]["description"]
    for resource, described in (("Service", service), ("Revision", service["spec"]["template"])):
        for annotation in described["metadata"]["annotations"]:
            assert re.search(rf"`{annotation}`: [\w, ]*{resource}", told), annotation
    # A word that is not known fails.
    service["spec"]["template"]["spec"]["containers"][0]["port"] = []
    assert not checked.is_valid(service)


def test_cloud_runs_service_has_the_containers_of_a_pod_and_knatives_own_fields() -> None:
    service = yaml.safe_load((FILES / "cloud_run.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    revision = service["spec"]["template"]["spec"]
    pod = {
        name: value
        for name, value in revision.items()
        if name not in ("containerConcurrency", "timeoutSeconds")
    }
    validate_pod(pod)
    (serve,) = pod["containers"]
    assert serve["startupProbe"]["httpGet"]["path"] == "/ping"
