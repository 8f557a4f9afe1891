"""`endpoint --update` against moto: what stays, what changes, what is refused."""

import re
from typing import Any

import pytest
from moto.ecr.models import ecr_backends

from deploy import endpoint_life, running
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import hosted, loopback
from tests.deploy.conftest import deploy, succeed
from tests.deploy.hosted import MODEL, NAME, OTHER

UPDATE = ("endpoint", "--yes", "--update", "--model", OTHER)
BUSY = ("--requests-a-minute", 100)


def _machines() -> int:
    count: int = hosted.endpoint()["ProductionVariants"][0]["DesiredInstanceCount"]
    return count


def _routing() -> dict[str, Any]:
    """Give how the last update led requests to the new machines."""
    policy = hosted.endpoint()["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]
    routing: dict[str, Any] = policy["TrafficRoutingConfiguration"]
    return routing


def _grow(machines: int) -> None:
    """Let autoscaling have reached so many machines."""
    (endpoint,) = loopback.sagemaker().endpoints.values()
    endpoint.production_variants[0]["DesiredInstanceCount"] = machines
    endpoint.production_variants[0]["CurrentInstanceCount"] = machines


def test_an_endpoint_is_exchanged_only_when_told_so_and_once(pushed: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    before = hosted.config()["EndpointConfigName"]
    result = deploy("endpoint", "--yes", "--model", OTHER)
    assert result.exit_code == 1
    assert "--update" in result.output
    assert hosted.config()["EndpointConfigName"] == before
    succeed(*UPDATE)
    assert hosted.config()["EndpointConfigName"] != before
    assert "runs exactly this already" in succeed(*UPDATE)


def test_the_machines_that_autoscaling_reached_answer_after_another_models_update_too(
    pushed: str,
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 6)
    _grow(4)
    before = hosted.scaling()
    result = deploy("endpoint", "--update", "--model", OTHER, answer="y\n")
    assert result.exit_code == 0, result.output
    assert "4 x ml.c5.large" in result.output
    assert "Those that it replaces are paid until they go." in result.output
    assert _machines() == 4
    assert _routing()["Type"] == "CANARY"
    assert _routing()["CanarySize"] == {"Type": "INSTANCE_COUNT", "Value": 1}
    assert hosted.scaling() == before


def test_machines_that_went_while_a_person_read_the_question_are_not_counted(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 6)
    _grow(2)
    monkeypatch.setattr(Aws, "confirm", lambda *_: _grow(1))
    succeed(*UPDATE)
    # AWS refuses more than half of them for the first requests.
    assert (_machines(), _routing()["Type"]) == (1, "ALL_AT_ONCE")


def _comes_up(endpoint: dict[str, Any]) -> dict[str, Any]:
    """Describe an endpoint as AWS does before it has answered."""
    needed = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime")
    variant = {"VariantName": "main", "DesiredInstanceCount": 2}
    pending = {
        "EndpointConfigName": endpoint["EndpointConfigName"],
        "ProductionVariants": [variant],
    }
    described = {name: endpoint[name] for name in needed}
    return {**described, "EndpointStatus": "Creating", "PendingDeploymentSummary": pending}


def test_one_that_comes_up_is_watched_and_scaled_by_the_same_again_and_takes_no_other_yet(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--instances", 2, "--most-instances", 4)
    succeed("endpoint", "--yes", "--no-wait", "--model", MODEL, *options)
    assert hosted.scaling() == ([], [])
    watched = hosted.alarms()
    real, left = endpoint_life.describe, 0

    def describe(aws: Aws, name: str) -> dict[str, Any] | None:
        nonlocal left
        left -= 1
        there = real(aws, name)
        return _comes_up(there) if there and left >= 0 else there

    monkeypatch.setattr(endpoint_life, "describe", describe)
    monkeypatch.setattr(endpoint_life, "_POLL_SECONDS", 0)
    left = 9  # More often than it asks.
    result = deploy("endpoint", "--update", "--model", OTHER, answer="y\n")
    assert "2 x ml.c5.large" in result.output
    assert f"{NAME} is Creating, and AWS takes no update" in result.output
    assert hosted.alarms() == watched
    left = 2
    printed = succeed("endpoint", "--yes", "--update", "--model", MODEL, *options)
    assert "runs exactly this already" in printed
    assert re.search(r"\[Creating\].*\[InService\]", printed, re.S)
    assert hosted.scaling()[0] == [(2, 4)]


@pytest.mark.parametrize(
    ("options", "machines"),
    [
        (("--instances", 2), 2),
        # AWS keeps all of a variant's properties or those that it can name: capture is none.
        (("--capture", 10), 1),
    ],
)
def test_what_an_update_names_counts_instead_of_what_autoscaling_reached(
    pushed: str, options: tuple[object, ...], machines: int
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 6)
    _grow(4)
    succeed(*UPDATE, *options)
    assert _machines() == machines
    assert _routing()["Type"] == ("CANARY" if machines > 1 else "ALL_AT_ONCE")


def test_a_sleeping_queue_gets_a_machine_on_which_the_new_model_is_seen_to_work(
    pushed: str,
) -> None:
    sleeps = ("--async", "--instances", 0, "--most-instances", 2)
    succeed("endpoint", "--yes", "--model", MODEL, *sleeps)
    _grow(0)
    succeed(*UPDATE)
    assert _machines() == 1
    assert hosted.scaling()[0] == [(0, 2)]
    assert f"{NAME}-wake" in hosted.alarms()
    # What wakes nobody any more is not billed.
    succeed(*UPDATE, "--instances", 1, "--most-instances", 1)
    assert f"{NAME}-wake" not in hosted.alarms()


def test_an_update_keeps_what_it_does_not_name_and_tells_what_changes(pushed: str) -> None:
    topic = f"arn:aws:sns:{loopback.REGION}:{loopback.ACCOUNT}:brain-tumor-news"
    succeed(
        *("endpoint", "--yes", "--model", MODEL, "--instance-type", "ml.c5.xlarge"),
        *("--instances", 2, "--most-instances", 4, "--requests-a-minute", 500, "--capture", 10),
        *("--topic", topic, "--mean-ms", 700, "--p99-ms", 900, "-e", "BRAIN_TUMOR_THREADS=2"),
    )
    before, scales = hosted.config(), hosted.scaling()
    watched = [(item["Threshold"], item["AlarmActions"]) for item in hosted.alarms().values()]
    assert "runs exactly this already" in succeed("endpoint", "--yes", "--update")
    printed = succeed(*UPDATE)
    assert f"model: {MODEL} -> {OTHER}\n" in printed
    (old,), (new,) = before["ProductionVariants"], hosted.config()["ProductionVariants"]
    containers = [hosted.model(item.pop("ModelName"))["PrimaryContainer"] for item in (old, new)]
    assert [item.pop("ModelDataUrl") for item in containers] == [MODEL, OTHER]
    assert containers[0] == containers[1]
    assert old == new
    assert hosted.config()["DataCaptureConfig"] == before["DataCaptureConfig"]
    assert hosted.scaling() == scales
    assert watched == [
        (item["Threshold"], item["AlarmActions"]) for item in hosted.alarms().values()
    ]


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        (("--model", MODEL, "--serverless", "--memory-mb", 4096, "--concurrency", 7), "--async"),
        (("--model", MODEL, "--async", "--instances", 0, "--most-instances", 2), "--serverless"),
        (("--multi-model", f"s3://{loopback.BUCKET}/models/"), "--serverless"),
    ],
)
def test_an_update_keeps_the_kind_and_refuses_another_before_anything_is_made(
    pushed: str, kind: tuple[object, ...], other: str
) -> None:
    succeed("endpoint", "--yes", *kind)
    before = hosted.config()["EndpointConfigName"]
    assert "runs exactly this already" in succeed("endpoint", "--yes", "--update")
    result = deploy(*UPDATE, other)
    assert result.exit_code == 1
    assert f"delete-endpoint --endpoint-name {NAME}" in result.output
    assert hosted.config()["EndpointConfigName"] == before
    sagemaker = loopback.client("sagemaker")
    assert len(sagemaker.list_models()["Models"]) == 1
    assert len(sagemaker.list_endpoint_configs()["EndpointConfigs"]) == 1


def test_one_of_several_models_becomes_one_of_a_single_model_and_back(pushed: str) -> None:
    prefix = f"s3://{loopback.BUCKET}/models/"
    succeed("endpoint", "--yes", "--multi-model", prefix)
    for options, mode in ((("--model", OTHER), None), (("--multi-model", prefix), "MultiModel")):
        succeed("endpoint", "--yes", "--update", *options)
        (variant,) = hosted.config()["ProductionVariants"]
        container = hosted.model(variant["ModelName"])["PrimaryContainer"]
        assert (container.get("Mode"), container["ModelDataUrl"]) == (mode, options[1])


def test_an_update_tells_that_another_image_was_pushed(pushed: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    # moto knows whole seconds.
    (image,) = ecr_backends[loopback.ACCOUNT][loopback.REGION].repositories["brain-tumor"].images
    image.image_pushed_at -= 60
    last = loopback.push_again("1")
    result = deploy("endpoint", "--update", answer="n\n")
    assert f"image: {pushed} -> {last}\n" in result.output


def test_an_update_keeps_the_shadow_and_detailed_metrics(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = Aws(None, loopback.REGION)
    # moto forgets it.
    config = {
        "ProductionVariants": [
            {
                **{"ModelName": MODEL, "InitialVariantWeight": 1.0},
                **{"InstanceType": "ml.c5.large", "InitialInstanceCount": 1},
            }
        ],
        "ShadowProductionVariants": [{"ModelName": OTHER, "InitialVariantWeight": 0.3}],
        "MetricsConfig": {"EnableDetailedObservability": True},
    }
    client = aws.client("sagemaker")
    monkeypatch.setattr(client, "describe_endpoint_config", lambda **_: config)
    monkeypatch.setattr(
        client,
        "describe_model",
        lambda **of: {"PrimaryContainer": {"Image": "i", "ModelDataUrl": of["ModelName"]}},
    )
    kept = running.options(aws, {"EndpointName": NAME, "EndpointConfigName": f"{NAME}-c"})
    assert (kept["source"], kept["shadow"], kept["shadow_percent"]) == (MODEL, OTHER, 30)
    assert kept["detailed_metrics"]


def test_what_cloudformation_made_is_left_to_it(pushed: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    (endpoint,) = loopback.sagemaker().endpoints.values()
    endpoint.endpoint_config_name = "EndpointConfig-pKqFXsPLmJ3A"
    result = deploy(*UPDATE)
    assert result.exit_code == 1
    assert "the parameters ImageUri and ModelDataUrl" in result.output


def test_on_the_same_configuration_scaling_and_alarms_are_brought_up_to_date(pushed: str) -> None:
    same = ("endpoint", "--yes", "--model", MODEL, "--update")
    succeed("endpoint", "--yes", "--model", MODEL)
    for most, limits in ((4, [(1, 4)]), (3, [(1, 3)]), (1, [])):
        succeed(*same, "--most-instances", most, "--mean-ms", 100 * most)
        assert hosted.scaling()[0] == limits
        assert hosted.alarms()[f"{NAME}-latency"]["Threshold"] == 100_000 * most


def test_an_update_to_other_machines_that_is_rolled_back_or_refused_scales_and_alarms_as_before(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--most-instances", 4, *BUSY)
    succeed("endpoint", "--yes", "--model", MODEL, *options)
    before, watched = hosted.scaling(), hosted.alarms()
    assert before[0] == [(1, 4)]

    def refuse(*_: object) -> None:
        # AWS refuses another type of machine for what scales.
        assert hosted.scaling() == ([], [])
        raise DeployError("An alarm went off")

    # moto exchanges at once what is to be waited for: that comes last.
    for step in ("update", "wait"):
        with monkeypatch.context() as patch:
            patch.setattr(endpoint_life, step, refuse)
            result = deploy(*UPDATE, *options, "--instance-type", "ml.c5.xlarge", "--p99-ms", 1)
        assert "An alarm went off" in result.output
        assert hosted.scaling() == before
        limits = {name: alarm["Threshold"] for name, alarm in hosted.alarms().items()}
        assert limits == {name: alarm["Threshold"] for name, alarm in watched.items()}


def test_an_update_to_other_machines_that_is_cut_off_tells_what_brings_autoscaling_back(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 4, *BUSY)
    before = hosted.scaling()
    (endpoint,) = loopback.sagemaker().endpoints.values()

    def interrupt(*_: object) -> None:
        endpoint.endpoint_status = "Updating"
        raise KeyboardInterrupt

    other = ("--instance-type", "ml.c5.xlarge")
    with monkeypatch.context() as patch:
        patch.setattr(endpoint_life, "settle", interrupt)
        printed = deploy(*UPDATE, *other).output
    told = "does not scale any more. Once it answers, run the same again with --update "
    options = "--instances 1 --most-instances 4 --requests-a-minute 100"
    assert f"{told}{options}.\n" in printed
    endpoint.endpoint_status = "InService"
    succeed(*UPDATE, *other, *options.split())
    assert hosted.scaling() == before


def test_the_first_machine_is_woken_again_after_a_rollback(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps = ("--async", "--instances", 0, "--most-instances", 2)
    succeed("endpoint", "--yes", "--model", MODEL, *sleeps)

    def refuse(*_: object) -> None:
        raise DeployError("An alarm went off")

    monkeypatch.setattr(endpoint_life, "wait", refuse)
    assert deploy(*UPDATE, "--instance-type", "ml.c5.xlarge").exit_code == 1
    scaling = loopback.client("application-autoscaling")
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    (wake,) = [policy for policy in policies if policy["PolicyType"] == "StepScaling"]
    assert hosted.alarms()[f"{NAME}-wake"]["AlarmActions"] == [wake["PolicyARN"]]


def test_one_that_scales_is_not_left_alone_with_an_update_to_other_machines(pushed: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 4)
    result = deploy(*UPDATE, "--no-wait", "--instance-type", "ml.c5.xlarge")
    assert result.exit_code == 1
    assert "leave out --no-wait" in result.output
    assert len(loopback.client("sagemaker").list_models()["Models"]) == 1
    assert hosted.scaling()[0] == [(1, 4)]
    # With another model alone it goes on scaling.
    succeed(*UPDATE, "--no-wait")
    assert hosted.scaling()[0] == [(1, 4)]
