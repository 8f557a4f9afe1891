"""deploy/kubernetes: valid to Kubernetes' own schemas, and as careful as its page says."""

import ast
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.kubernetes import VERSIONS, validate, validate_pod
from tests.deploy.tools import TOOLS, needs_tool
from tests.jobs import ROOT

FILES = ROOT / "deploy/kubernetes"


def _documents(file: str) -> dict[str, dict[str, Any]]:
    documents = yaml.safe_load_all((FILES / file).read_text())
    return {document["kind"]: document for document in documents}


def _server() -> dict[str, dict[str, Any]]:
    return _documents("server.yaml")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_for_kubernetes_is_valid_and_no_field_is_unknown(version: str) -> None:
    documents = _server()
    assert set(documents) == {
        *("Namespace", "Deployment", "Service", "HorizontalPodAutoscaler"),
        *("PodDisruptionBudget", "NetworkPolicy"),
    }
    for document in documents.values():
        validate(document, version)


def test_the_validator_refuses_a_field_that_does_not_exist() -> None:
    deployment = _server()["Deployment"]
    deployment["spec"]["template"]["spec"]["readOnlyRoot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(deployment, VERSIONS[-1])


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
        # No scan on a node's disk.
        assert volume.get("emptyDir", {"medium": "Memory"})["medium"] == "Memory"


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


_TYPES = {"int": int, "str": str, "dict(str, str)": dict}


def _kserve_fields() -> dict[str, str]:
    """Give the type of each field that KServe adds to a pod's, as its own package tells them."""
    tree = ast.parse((TOOLS / "kserve_fields.py").read_text())
    tables = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Dict)
    }
    types, names = tables["openapi_types"], tables["attribute_map"]
    return {names[field]: types[field] for field in types}


@needs_tool("kserve_fields.py")
def test_kserves_predictor_is_a_pod_with_its_own_fields_and_asks_for_its_own_name() -> None:
    service = _documents("kserve.yaml")["InferenceService"]
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(service["spec"]) == {"predictor"}
    predictor = service["spec"]["predictor"]
    own = _kserve_fields()
    assert "minReplicas" in own
    for name in own.keys() & predictor.keys():
        assert isinstance(predictor[name], _TYPES[own[name]]), name
    # What is not KServe's own is a pod's, or else unknown.
    pod = {name: value for name, value in predictor.items() if name not in own}
    validate_pod(pod)
    _restricted(pod)
    (serve,) = pod["containers"]
    assert serve["name"] == "kserve-container"
    (name,) = [each["value"] for each in serve["env"] if each["name"] == "BRAIN_TUMOR_MODEL_NAME"]
    assert name == service["metadata"]["name"]
    assert serve["readinessProbe"]["httpGet"]["path"] == f"/v1/models/{name}"


# What KServe hands to Knative, and its Standard mode does nothing with.
_KNATIVES = {"containerConcurrency", "canaryTrafficPercent"}


def test_kserves_standard_mode_runs_it_and_reaches_as_little_as_the_plain_server() -> None:
    documents, server = _documents("kserve.yaml"), _server()
    assert documents["Namespace"] == server["Namespace"]
    service, policy = documents["InferenceService"], documents["NetworkPolicy"]
    annotations = service["metadata"]["annotations"]
    assert annotations["serving.kserve.io/deploymentMode"] == "Standard"
    predictor = service["spec"]["predictor"]
    assert not _KNATIVES & predictor.keys()
    assert (annotations["serving.kserve.io/autoscalerClass"], predictor["scaleMetric"]) == (
        "hpa",
        "cpu",
    )
    validate(policy)
    name = service["metadata"]["name"]
    selector = {"serving.kserve.io/inferenceservice": name}
    assert policy["spec"]["podSelector"] == {"matchLabels": selector}
    plain = server["NetworkPolicy"]["spec"]
    for field in ("policyTypes", "egress"):
        assert policy["spec"][field] == plain[field]
    assert policy["spec"]["ingress"][0]["from"] == plain["ingress"][0]["from"]
    (serve,) = predictor["containers"]
    (port,) = policy["spec"]["ingress"][0]["ports"]
    assert port["port"] == serve["ports"][0]["containerPort"]
