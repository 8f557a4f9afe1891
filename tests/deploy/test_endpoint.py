"""`endpoint` against moto: every kind, alarms, scaling, update and its rollback, failure."""

import re
from typing import Any

import pytest

from deploy import endpoint_life, running
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed

NAME = "brain-tumor-endpoint"
MODEL = f"s3://{loopback.BUCKET}/jobs/brain-tumor-1/output/model.tar.gz"
OTHER = f"s3://{loopback.BUCKET}/jobs/brain-tumor-2/output/model.tar.gz"


@pytest.fixture
def ready(account: str) -> str:
    """Give the URI of the image that was pushed to an account with bucket and role."""
    succeed("setup", "--yes")
    return loopback.push_image()


def _config() -> dict[str, Any]:
    """Describe the configuration that the endpoint runs."""
    sagemaker = loopback.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=NAME)
    config: dict[str, Any] = sagemaker.describe_endpoint_config(
        EndpointConfigName=endpoint["EndpointConfigName"]
    )
    return config


def _model(name: str) -> dict[str, Any]:
    described: dict[str, Any] = loopback.client("sagemaker").describe_model(ModelName=name)
    return described


def _requested(*options: object) -> dict[str, Any]:
    """Give what a dry run would ask of CreateEndpointConfig; moto forgets parts of it."""
    printed = succeed("endpoint", "--dry-run", "--model", MODEL, *options)
    (request,) = loopback.parameters(printed, "sagemaker:CreateEndpointConfig")
    return request


def test_an_endpoint_answers_with_its_log_group_and_alarms(ready: str) -> None:
    printed = succeed("endpoint", "--yes", "--model", MODEL)
    assert "[InService]" in printed
    assert f"predict scan.jpg --endpoint {NAME}" in printed
    (variant,) = _config()["ProductionVariants"]
    assert (variant["VariantName"], variant["InstanceType"]) == ("main", "ml.c5.large")
    model = _model(variant["ModelName"])
    assert model["PrimaryContainer"]["Image"] == ready
    assert model["PrimaryContainer"]["ModelDataUrl"] == MODEL
    assert model["ExecutionRoleArn"].endswith(":role/brain-tumor-execution")
    (group,) = loopback.client("logs").describe_log_groups()["logGroups"]
    assert group["logGroupName"] == f"/aws/sagemaker/Endpoints/{NAME}"
    assert group["retentionInDays"] == 30
    alarms = loopback.client("cloudwatch").describe_alarms()["MetricAlarms"]
    measured = {alarm["AlarmName"]: alarm["MetricName"] for alarm in alarms}
    assert measured == {
        f"{NAME}-errors": "Invocation5XXErrors",
        f"{NAME}-latency": "ModelLatency",
        f"{NAME}-p99": "ModelLatency",
    }
    limits = {alarm["AlarmName"]: alarm["Threshold"] for alarm in alarms}
    assert limits[f"{NAME}-p99"] == 5_000_000  # microseconds


def test_autoscaling_follows_the_requests_of_each_machine(ready: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 4)
    scaling = loopback.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["ResourceId"] == f"endpoint/{NAME}/variant/main"
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 3000
    metric = tracking["PredefinedMetricSpecification"]["PredefinedMetricType"]
    assert metric == "SageMakerVariantInvocationsPerInstance"


def test_a_serverless_endpoint_has_memory_and_no_machine(ready: str) -> None:
    result = deploy("endpoint", "--model", MODEL, "--serverless", answer="y\n")
    assert "costs nothing while nobody asks" in result.output
    (variant,) = _config()["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    assert "InstanceType" not in variant
    assert re.search(rf"^endpoint +{NAME} +InService$", succeed("status"), re.M)
    # AWS refuses isolation there.
    (request,) = loopback.parameters(
        succeed("endpoint", "--dry-run", "--model", MODEL, "--serverless"), "sagemaker:CreateModel"
    )
    assert request["EnableNetworkIsolation"] is False


def test_an_asynchronous_endpoint_can_sleep_and_is_woken_by_its_queue(ready: str) -> None:
    printed = succeed(
        *("endpoint", "--yes", "--model", MODEL, "--async", "--instances", 0),
        *("--most-instances", 2),
    )
    assert f"predict scan.jpg --endpoint {NAME} --async\n" in printed
    # moto leaves a nought out.
    (runs,) = loopback.sagemaker().endpoints.values()
    runs.production_variants[0]["CurrentInstanceCount"] = 0
    assert re.search(rf"^endpoint +{NAME} +InService$", succeed("status"), re.M)
    output = _config()["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"] == f"s3://{loopback.BUCKET}/async/{NAME}/output"
    (variant,) = _config()["ProductionVariants"]
    environment = _model(variant["ModelName"])["PrimaryContainer"]["Environment"]
    assert environment == {"BRAIN_TUMOR_MAX_BODY_MB": "1024"}
    scaling = loopback.client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert target["MinCapacity"] == 0
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    wake = next(policy for policy in policies if policy["PolicyType"] == "StepScaling")
    (alarm,) = loopback.client("cloudwatch").describe_alarms(AlarmNames=[f"{NAME}-wake"])[
        "MetricAlarms"
    ]
    assert alarm["AlarmActions"] == [wake["PolicyARN"]]
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    # What waits in a queue may take its time.
    alarms = loopback.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in alarms} == {f"{NAME}-errors", f"{NAME}-wake"}


def test_a_multi_model_endpoint_serves_a_prefix_of_archives(ready: str) -> None:
    prefix = f"s3://{loopback.BUCKET}/models/"
    succeed("endpoint", "--yes", "--multi-model", prefix)
    (variant,) = _config()["ProductionVariants"]
    container = _model(variant["ModelName"])["PrimaryContainer"]
    assert (container["Mode"], container["ModelDataUrl"]) == ("MultiModel", prefix)


def test_a_shadow_gets_its_share_and_requests_are_captured(ready: str) -> None:
    request = _requested("--shadow", OTHER, "--shadow-percent", 50, "--capture", 10)
    (variant,) = request["ProductionVariants"]
    (shadow,) = request["ShadowProductionVariants"]
    assert shadow["ModelName"] != variant["ModelName"]
    assert shadow["InitialVariantWeight"] / variant["InitialVariantWeight"] == 0.5
    capture = request["DataCaptureConfig"]
    assert capture["InitialSamplingPercentage"] == 10
    assert capture["DestinationS3Uri"].endswith(f"/capture/{NAME}")
    assert [option["CaptureMode"] for option in capture["CaptureOptions"]] == ["Input", "Output"]


def test_a_topic_hears_of_alarms_and_of_asynchronous_answers(ready: str) -> None:
    topic = f"arn:aws:sns:{loopback.REGION}:{loopback.ACCOUNT}:brain-tumor-news"
    request = _requested("--async", "--topic", topic)
    told = request["AsyncInferenceConfig"]["OutputConfig"]["NotificationConfig"]
    assert told == {"SuccessTopic": topic, "ErrorTopic": topic}
    printed = succeed("endpoint", "--dry-run", "--model", MODEL, "--topic", topic)
    alarms = loopback.parameters(printed, "cloudwatch:PutMetricAlarm")
    assert [alarm["AlarmActions"] for alarm in alarms] == [[topic]] * 3


def test_an_endpoint_is_updated_beside_the_old_one_and_rolled_back_by_alarms(ready: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 2)
    before = _config()["EndpointConfigName"]
    result = deploy("endpoint", "--yes", "--model", OTHER)
    assert result.exit_code == 1
    assert "--update" in result.output
    assert _config()["EndpointConfigName"] == before
    succeed("endpoint", "--yes", "--model", OTHER, "--update", "--instances", 2)
    assert _config()["EndpointConfigName"] != before
    # What it scaled is forgotten, for AWS would refuse the update.
    scaling = loopback.client("application-autoscaling")
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")
    assert targets["ScalableTargets"] == []
    again = succeed("endpoint", "--yes", "--model", OTHER, "--update", "--instances", 2)
    assert "runs exactly this already" in again


def test_an_update_keeps_what_it_does_not_name_and_tells_what_changes(ready: str) -> None:
    topic = f"arn:aws:sns:{loopback.REGION}:{loopback.ACCOUNT}:brain-tumor-news"
    succeed(
        *("endpoint", "--yes", "--model", MODEL, "--instance-type", "ml.c5.xlarge"),
        *("--instances", 2, "--most-instances", 4, "--requests-a-minute", 500, "--capture", 10),
        *("--topic", topic, "--mean-ms", 700, "--p99-ms", 900, "-e", "BRAIN_TUMOR_THREADS=2"),
    )
    before, scales = _config(), _scaling()
    alarms = loopback.client("cloudwatch").describe_alarms
    watched = [(item["Threshold"], item["AlarmActions"]) for item in alarms()["MetricAlarms"]]
    assert "runs exactly this already" in succeed("endpoint", "--yes", "--update")
    printed = succeed("endpoint", "--yes", "--update", "--model", OTHER)
    assert f"source: {MODEL} -> {OTHER}\n" in printed
    (old,), (new,) = before["ProductionVariants"], _config()["ProductionVariants"]
    containers = [_model(item.pop("ModelName"))["PrimaryContainer"] for item in (old, new)]
    assert [item.pop("ModelDataUrl") for item in containers] == [MODEL, OTHER]
    assert containers[0] == containers[1]
    assert old == new
    assert _config()["DataCaptureConfig"] == before["DataCaptureConfig"]
    assert _scaling() == scales
    assert watched == [(i["Threshold"], i["AlarmActions"]) for i in alarms()["MetricAlarms"]]


@pytest.mark.parametrize(
    "kind",
    [
        ("--model", MODEL, "--serverless", "--memory-mb", 4096, "--concurrency", 7),
        ("--model", MODEL, "--async", "--instances", 0, "--most-instances", 2),
        ("--multi-model", f"s3://{loopback.BUCKET}/models/"),
    ],
)
def test_an_update_keeps_the_kind(ready: str, kind: tuple[object, ...]) -> None:
    succeed("endpoint", "--yes", *kind)
    before = _config()["EndpointConfigName"]
    assert "runs exactly this already" in succeed("endpoint", "--yes", "--update")
    assert _config()["EndpointConfigName"] == before


def test_an_update_keeps_the_shadow(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
    }
    client = aws.client("sagemaker")
    monkeypatch.setattr(client, "describe_endpoint_config", lambda **_: config)
    monkeypatch.setattr(
        client,
        "describe_model",
        lambda **of: {"PrimaryContainer": {"Image": "i", "ModelDataUrl": of["ModelName"]}},
    )
    kept = running.options(aws, {"EndpointName": NAME, "EndpointConfigName": "c"})
    assert (kept["source"], kept["shadow"], kept["shadow_percent"]) == (MODEL, OTHER, 30)


def test_the_update_waits_with_the_old_machines_and_names_every_alarm(
    ready: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(endpoint_life, "update", lambda *given: sent.append(given[-1]))
    monkeypatch.setattr(endpoint_life, "wait", lambda *_: None)
    succeed("endpoint", "--yes", "--model", OTHER, "--update", "--instances", 3)
    (deployment,) = sent
    alarms = deployment["AutoRollbackConfiguration"]["Alarms"]
    assert [alarm["AlarmName"] for alarm in alarms] == [
        f"{NAME}-errors",
        f"{NAME}-latency",
        f"{NAME}-p99",
    ]
    routing = deployment["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    assert routing["Type"] == "CANARY"
    assert routing["CanarySize"] == {"Type": "INSTANCE_COUNT", "Value": 1}


def _scaling() -> tuple[list[Any], list[Any]]:
    """Give the limits of each scalable target, and the content of each policy."""
    client = loopback.client("application-autoscaling")
    targets = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    for policy in policies:
        del policy["PolicyARN"], policy["CreationTime"], policy["Alarms"]
    return [(target["MinCapacity"], target["MaxCapacity"]) for target in targets], policies


def test_on_the_same_configuration_scaling_and_alarms_are_brought_up_to_date(ready: str) -> None:
    same = ("endpoint", "--yes", "--model", MODEL, "--update")
    for most, limits in ((4, [(1, 4)]), (3, [(1, 3)]), (1, [])):
        succeed(*same, "--most-instances", most, "--mean-ms", 100 * most)
        assert _scaling()[0] == limits
        (alarm,) = loopback.client("cloudwatch").describe_alarms(AlarmNames=[f"{NAME}-latency"])[
            "MetricAlarms"
        ]
        assert alarm["Threshold"] == 100_000 * most


def test_an_update_that_is_rolled_back_or_refused_scales_as_before(
    ready: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--most-instances", 4, "--requests-a-minute", 100)
    succeed("endpoint", "--yes", "--model", MODEL, *options)
    before = _scaling()
    assert before[0] == [(1, 4)]

    def refuse(*_: object) -> None:
        assert _scaling() == ([], [])
        raise DeployError("An alarm went off")

    # moto exchanges at once what is to be waited for: that comes last.
    for step in ("update", "wait"):
        with monkeypatch.context() as patch:
            patch.setattr(endpoint_life, step, refuse)
            result = deploy("endpoint", "--yes", "--model", OTHER, "--update", *options)
        assert "An alarm went off" in result.output
        assert _scaling() == before


def test_the_first_machine_is_woken_again_after_a_rollback(
    ready: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps = ("--async", "--instances", 0, "--most-instances", 2)
    succeed("endpoint", "--yes", "--model", MODEL, *sleeps)

    def refuse(*_: object) -> None:
        raise DeployError("An alarm went off")

    monkeypatch.setattr(endpoint_life, "wait", refuse)
    assert deploy("endpoint", "--yes", "--model", OTHER, "--update", *sleeps).exit_code == 1
    scaling = loopback.client("application-autoscaling")
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    (wake,) = [policy for policy in policies if policy["PolicyType"] == "StepScaling"]
    (alarm,) = loopback.client("cloudwatch").describe_alarms(AlarmNames=[f"{NAME}-wake"])[
        "MetricAlarms"
    ]
    assert alarm["AlarmActions"] == [wake["PolicyARN"]]


def test_one_that_scales_is_not_left_alone_with_an_update(ready: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 4)
    result = deploy("endpoint", "--yes", "--model", OTHER, "--update", "--no-wait")
    assert result.exit_code == 1
    assert "leave out --no-wait" in result.output
    assert len(loopback.client("sagemaker").list_models()["Models"]) == 1
    assert _scaling()[0] == [(1, 4)]


def _describe(monkeypatch: pytest.MonkeyPatch, *states: dict[str, Any]) -> Aws:
    """Let DescribeEndpoint tell of these states, one after the other: moto's never fail."""
    aws, left = Aws(None, loopback.REGION), list(states)
    client = aws.client("sagemaker")
    monkeypatch.setattr(
        client, "describe_endpoint", lambda **_: {"EndpointName": NAME, **left.pop(0)}
    )
    monkeypatch.setattr(endpoint_life, "_POLL_SECONDS", 0)
    return aws


def test_a_container_that_never_answers_is_told_with_its_own_log_and_the_remedy(
    account: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    aws = _describe(
        monkeypatch,
        {"EndpointStatus": "Creating"},
        {
            "EndpointStatus": "Failed",
            "EndpointConfigName": "a",
            "FailureReason": "The primary container for production variant main did not pass the "
            "ping health check. Please check CloudWatch logs for this endpoint.",
        },
    )
    endpoint_life.make_log_group(aws, NAME)
    loopback.log(
        f"/aws/sagemaker/Endpoints/{NAME}", "main/i-0abc", "model.json cannot be read: no such file"
    )
    with pytest.raises(DeployError, match=r"is Failed: .*docker run -p 8080:8080"):
        endpoint_life.wait(aws, NAME, "a")
    printed = capsys.readouterr().out
    assert "[Creating] after 0.0 minutes" in printed
    assert "  model.json cannot be read: no such file\n" in printed


def test_an_update_that_was_rolled_back_is_a_failure_though_the_endpoint_answers(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = _describe(
        monkeypatch,
        {"EndpointStatus": "Updating"},
        {"EndpointStatus": "RollingBack"},
        {
            "EndpointStatus": "InService",
            "EndpointConfigName": "old",
            "FailureReason": "One or more alarms went off",
        },
    )
    with pytest.raises(DeployError, match="rolled back and answers as before: One or more alarms"):
        endpoint_life.wait(aws, NAME, "new")


def test_one_that_never_came_up_is_made_anew(ready: str, monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    failed = {"EndpointStatus": "Failed", "EndpointConfigName": "x"}
    monkeypatch.setattr(endpoint_life, "describe", lambda *_: failed)
    monkeypatch.setattr(endpoint_life, "wait", lambda *_: None)
    assert "made anew" in succeed("endpoint", "--yes", "--model", OTHER)


def test_after_delete_nothing_of_the_endpoint_is_left(ready: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 2)
    listed = succeed("status")
    assert "costs money by the hour" in listed
    succeed("delete", "--yes", "--with-user")
    assert loopback.all_names() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "mine"], "does not begin with brain-tumor-"),
        (["--serverless", "--capture", 10], "cannot capture data"),
        (["--instances", 0], "Only an --async endpoint"),
        (["--serverless", "--async"], "Choose one of"),
        (["--async", "--shadow", OTHER], "--shadow goes with a real-time endpoint"),
        (["--multi-model", "s3://b/m/", "--model", MODEL], "leave out --model"),
    ],
)
def test_what_does_not_go_together_is_refused(
    account: str, options: list[object], told: str
) -> None:
    result = deploy("endpoint", "--dry-run", *options)
    assert result.exit_code != 0
    assert told in result.output


def test_it_says_what_it_costs_and_a_no_makes_nothing(ready: str) -> None:
    result = deploy(
        "endpoint", "--model", MODEL, "--instances", 2, "--most-instances", 3, answer="n\n"
    )
    assert "2 x ml.c5.large: about 0.20 USD an hour" in result.output
    assert "up to 3 of them" in result.output
    result = deploy("endpoint", "--model", MODEL, "--shadow", OTHER, answer="n\n")
    assert "The shadow costs as much again." in result.output
    assert loopback.client("sagemaker").list_models()["Models"] == []
