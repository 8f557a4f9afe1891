"""deploy/virtual_machine, platforms and kubernetes: each file by its own tool, or by the image."""

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import kubernetes_validate
import pytest
import yaml
from botocore.validate import ParamValidator

from tests.deploy.tools import TOOLS, needs_command, needs_tool
from tests.docker import build, container, docker, inspect, logs, needs_docker
from tests.jobs import ROOT
from tests.scans import encode, head
from tests.server import free_port, request

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "virtual_machine/brain-tumor.service"
IMAGE = "registry.example.org/brain-tumor-serve@sha256:" + 64 * "a"
# The oldest that the file promises, and the newest that the tool knows.
KUBERNETES = ("1.27", kubernetes_validate.latest_version())


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


# --- A virtual machine ---


def _user_data(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = DEPLOY / "virtual_machine/user_data.sh"
    return subprocess.run([script, *arguments], capture_output=True, text=True)


def _setting(name: str) -> str:
    """Give a setting of the unit, its lines joined."""
    text = UNIT.read_text().replace("\\\n", " ")
    found: list[str] = re.findall(rf"^{name}=(.*)$", text, re.M)
    return found[-1]


@needs_command("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit_and_calls_it_hardened(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # Docker's own unit is not there on every machine that tests.
    unit.write_text(UNIT.read_text().replace("Requires=docker.service\n", ""))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)]
    judged = subprocess.run(judge, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout[-200:]


def test_the_unit_leaves_the_server_more_time_to_drain_than_it_takes() -> None:
    drain = int(re.findall(r"BRAIN_TUMOR_DRAIN_SECONDS=(\d+)", _setting("ExecStart"))[0])
    wait = int(re.findall(r"--time (\d+)", _setting("ExecStop"))[0])
    assert drain < wait < int(_setting("TimeoutStopSec"))


@needs_docker
def test_the_units_own_commands_start_a_server_that_answers_and_stop_it(
    serve_image: str, trained: Path
) -> None:
    port, name = free_port(), f"unit-{free_port()}"
    there = {
        "${IMAGE}": serve_image,
        "/var/lib/brain-tumor": str(trained),
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "--name brain-tumor": f"--name {name}",
        "docker stop --time 30 brain-tumor": f"docker stop --time 30 {name}",
        "/usr/bin/docker": "docker",
    }
    commands = {}
    for setting in ("ExecStart", "ExecStop"):
        command = _setting(setting)
        for written, meant in there.items():
            command = command.replace(written, meant)
        commands[setting] = shlex.split(command)
    with subprocess.Popen(commands["ExecStart"], stdout=subprocess.PIPE, text=True) as running:
        try:
            _wait_until_healthy(port)
            _assert_classifies(port)
            config = inspect(name)["Config"]
            assert config["User"] == "65532:65532"
        finally:
            stopped = subprocess.run(commands["ExecStop"], capture_output=True, timeout=60)
        assert stopped.returncode == 0
        printed, _ = running.communicate(timeout=60)
        # What the journal gets, and an end that systemd takes for a clean one.
        assert '"level": "INFO"' in printed
        assert running.returncode == 0


def test_user_data_holds_the_unit_as_it_is_and_the_image_and_no_secret() -> None:
    done = _user_data(IMAGE)
    assert done.stdout.startswith("#cloud-config\n")
    written = {file["path"]: file for file in yaml.safe_load(done.stdout)["write_files"]}
    unit = written["/etc/systemd/system/brain-tumor.service"]
    assert unit["content"] == UNIT.read_text()
    assert written["/etc/brain-tumor.env"]["content"] == f"IMAGE={IMAGE}\n"
    assert len(written) == 2


@needs_tool("cloud-config.json")
def test_cloud_inits_own_schema_takes_the_user_data() -> None:
    schema = json.loads((TOOLS / "cloud-config.json").read_text())
    document = yaml.safe_load(_user_data(IMAGE).stdout)
    validator = jsonschema.Draft4Validator(schema)
    validator.validate(document)
    # The schema is one that can refuse.
    assert not validator.is_valid({**document, "packages": 1})


@pytest.mark.parametrize("image", ["x; rm -rf /", "a b", "$(id)", "x\ny"])
def test_user_data_takes_no_image_that_could_be_more_than_a_name(image: str) -> None:
    done = _user_data(image)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is no name of an image" in done.stderr


# --- Platforms ---


def _wait_until_healthy(port: int) -> None:

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if request(port, "GET", "/ping").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError("never healthy")


def _assert_classifies(port: int) -> None:
    reply = request(
        port, "POST", "/invocations", encode(head(0), "JPEG"), {"Content-Type": "image/jpeg"}
    )
    assert reply.status == 200, reply.body
    (entry,) = json.loads(reply.body)["predictions"]
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@contextmanager
def _image_with_model(serve_image: str, trained: Path, folder: Path) -> Iterator[str]:
    """Build deploy/platforms/Dockerfile with a model whose files only their owner may read."""
    shutil.copytree(trained / "model", folder / "model")
    subprocess.run(["chmod", "-R", "go=", folder / "model"], check=True)
    tag = "brain-tumor:test-platform"
    dockerfile = DEPLOY / "platforms/Dockerfile"
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
        _wait_until_healthy(port)
        _assert_classifies(port)
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
    (document,) = _documents(DEPLOY / "platforms/heroku.yml")
    jsonschema.validate(document, _HEROKU)
    assert document["run"]["web"]["image"] in document["build"]["docker"]
    assert (DEPLOY / "platforms" / document["build"]["docker"]["web"]).is_file()


def test_app_runners_api_takes_its_file() -> None:
    document = json.loads((DEPLOY / "platforms/app_runner.json").read_text())
    service = botocore.session.get_session().get_service_model("apprunner")
    wanted = service.operation_model("CreateService").input_shape
    report = ParamValidator().validate(document, wanted)
    assert not report.has_errors(), report.generate_report()
    assert set(document) <= set(wanted.members)


@needs_tool("docker-compose")
def test_compose_takes_the_file_for_elastic_beanstalk() -> None:
    file = DEPLOY / "platforms/docker-compose.yml"
    done = subprocess.run(
        [TOOLS / "docker-compose", "-f", file, "config", "--quiet"], capture_output=True, text=True
    )
    # Beanstalk's own Compose is older: nothing may be said to be obsolete either.
    assert (done.returncode, done.stderr) == (0, "")


# --- Kubernetes ---


def _validate(document: dict[str, Any], *versions: str) -> None:
    for version in versions or KUBERNETES:
        kubernetes_validate.validate(document, version, strict=True)


def _pod(spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}


def _server() -> dict[str, dict[str, Any]]:
    documents = _documents(DEPLOY / "kubernetes/server.yaml")
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_document_for_kubernetes_is_valid_and_no_field_is_unknown(version: str) -> None:
    documents = _server()
    assert set(documents) == {
        *("Namespace", "Deployment", "Service", "HorizontalPodAutoscaler"),
        *("PodDisruptionBudget", "NetworkPolicy"),
    }
    for document in documents.values():
        _validate(document, version)


def test_the_validator_refuses_a_field_that_does_not_exist() -> None:
    deployment = _server()["Deployment"]
    deployment["spec"]["template"]["spec"]["readOnlyRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        _validate(deployment, KUBERNETES[-1])


def _restricted(pod: dict[str, Any]) -> None:
    """Check what the pod security standard `restricted` asks for, and a read-only root."""
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    for each in pod["containers"]:
        assert not each["securityContext"]["allowPrivilegeEscalation"]
        assert each["securityContext"]["readOnlyRootFilesystem"]
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(each["resources"]["limits"])
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= {"emptyDir", "persistentVolumeClaim"}


def test_pods_keep_to_the_restricted_standard_and_may_reach_nothing() -> None:
    documents = _server()
    _restricted(documents["Deployment"]["spec"]["template"]["spec"])
    policy = documents["NetworkPolicy"]["spec"]
    assert "Egress" in policy["policyTypes"]
    assert policy["egress"] == []
    labels = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        policy["podSelector"]["matchLabels"],
        documents["Service"]["spec"]["selector"],
        documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()


def test_a_slow_start_is_not_killed_and_a_stop_has_time_to_drain() -> None:
    pod = _server()["Deployment"]["spec"]["template"]["spec"]
    (serve,) = pod["containers"]
    startup = serve["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 180
    (drain,) = [
        int(variable["value"])
        for variable in serve["env"]
        if variable["name"] == "BRAIN_TUMOR_DRAIN_SECONDS"
    ]
    before = int(serve["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pod["terminationGracePeriodSeconds"] > before + drain


# KServe's own fields of a predictor (ComponentExtensionSpec); all others are a pod's.
_KSERVE = {
    *("minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "containerConcurrency"),
    *("timeout", "canaryTrafficPercent", "labels", "annotations"),
}


def test_kserves_predictor_is_a_pod_with_its_own_fields_and_asks_for_its_own_name() -> None:
    (service,) = _documents(DEPLOY / "kubernetes/kserve.yaml")
    assert (service["apiVersion"], service["kind"]) == (
        "serving.kserve.io/v1beta1",
        "InferenceService",
    )
    predictor = service["spec"]["predictor"]
    pod = {name: value for name, value in predictor.items() if name not in _KSERVE}
    _validate(_pod(pod))
    _restricted(pod)
    (serve,) = pod["containers"]
    assert serve["name"] == "kserve-container"
    (name,) = [each["value"] for each in serve["env"] if each["name"] == "BRAIN_TUMOR_MODEL_NAME"]
    assert name == service["metadata"]["name"]
    assert serve["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{name}"


def test_cloud_runs_service_has_the_containers_of_a_pod_and_knatives_own_fields() -> None:
    (service,) = _documents(DEPLOY / "platforms/cloud_run.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    revision = service["spec"]["template"]["spec"]
    pod = {
        name: value
        for name, value in revision.items()
        if name not in ("containerConcurrency", "timeoutSeconds")
    }
    _validate(_pod(pod))
    (serve,) = pod["containers"]
    assert serve["startupProbe"]["httpGet"]["path"] == "/ping"
