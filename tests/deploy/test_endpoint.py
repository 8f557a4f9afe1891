"""`endpoint` against moto: every kind, alarms, scaling, failure, the end."""

import re
import time
from typing import Any

import pytest

from deploy import endpoint_life
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import hosted, loopback
from tests.deploy.conftest import deploy, succeed
from tests.deploy.hosted import MODEL, NAME, OTHER


def _requested(*options: object) -> dict[str, Any]:
    """Give what a dry run would ask of CreateEndpointConfig; moto forgets parts of it."""
    printed = succeed("endpoint", "--dry-run", "--model", MODEL, *options)
    (request,) = loopback.parameters(printed, "sagemaker:CreateEndpointConfig")
    return request


def test_an_endpoint_answers_with_its_log_group_and_alarms(pushed: str) -> None:
    printed = succeed("endpoint", "--yes", "--model", MODEL)
    assert "[InService]" in printed
    assert f"predict scan.jpg --endpoint {NAME}" in printed
    (variant,) = hosted.config()["ProductionVariants"]
    assert (variant["VariantName"], variant["InstanceType"]) == ("main", "ml.c5.large")
    model = hosted.model(variant["ModelName"])
    assert model["PrimaryContainer"]["Image"] == pushed
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


def test_autoscaling_follows_the_requests_of_each_machine(pushed: str) -> None:
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


def test_a_serverless_endpoint_has_memory_and_no_machine(pushed: str) -> None:
    result = deploy("endpoint", "--model", MODEL, "--serverless", answer="y\n")
    assert "costs nothing while nobody asks" in result.output
    (variant,) = hosted.config()["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    assert "InstanceType" not in variant
    assert re.search(rf"^endpoint +{NAME} +InService$", succeed("status"), re.M)
    # AWS refuses isolation there.
    (request,) = loopback.parameters(
        succeed("endpoint", "--dry-run", "--model", MODEL, "--serverless"), "sagemaker:CreateModel"
    )
    assert request["EnableNetworkIsolation"] is False


def test_an_asynchronous_endpoint_can_sleep_and_is_woken_by_its_queue(pushed: str) -> None:
    printed = succeed(
        *("endpoint", "--yes", "--model", MODEL, "--async", "--instances", 0),
        *("--most-instances", 2),
    )
    assert f"predict scan.jpg --endpoint {NAME} --async\n" in printed
    # moto leaves a nought out.
    (runs,) = loopback.sagemaker().endpoints.values()
    runs.production_variants[0]["CurrentInstanceCount"] = 0
    assert re.search(rf"^endpoint +{NAME} +InService$", succeed("status"), re.M)
    output = hosted.config()["AsyncInferenceConfig"]["OutputConfig"]
    assert output["S3OutputPath"] == f"s3://{loopback.BUCKET}/async/{NAME}/output"
    (variant,) = hosted.config()["ProductionVariants"]
    environment = hosted.model(variant["ModelName"])["PrimaryContainer"]["Environment"]
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


def test_a_multi_model_endpoint_serves_a_prefix_of_archives(pushed: str) -> None:
    prefix = f"s3://{loopback.BUCKET}/models/"
    succeed("endpoint", "--yes", "--multi-model", prefix)
    (variant,) = hosted.config()["ProductionVariants"]
    container = hosted.model(variant["ModelName"])["PrimaryContainer"]
    assert (container["Mode"], container["ModelDataUrl"]) == ("MultiModel", prefix)


def test_a_shadow_gets_its_share_and_requests_are_captured(pushed: str) -> None:
    request = _requested("--shadow", OTHER, "--shadow-percent", 50, "--capture", 10)
    (variant,) = request["ProductionVariants"]
    (shadow,) = request["ShadowProductionVariants"]
    assert shadow["ModelName"] != variant["ModelName"]
    assert shadow["InitialVariantWeight"] / variant["InitialVariantWeight"] == 0.5
    capture = request["DataCaptureConfig"]
    assert capture["InitialSamplingPercentage"] == 10
    assert capture["DestinationS3Uri"].endswith(f"/capture/{NAME}")
    assert [option["CaptureMode"] for option in capture["CaptureOptions"]] == ["Input", "Output"]


def test_metrics_that_aws_bills_are_there_only_when_asked_for(pushed: str) -> None:
    # For new configurations AWS's own default is true.
    assert _requested()["MetricsConfig"] == {"EnableDetailedObservability": False}
    assert _requested("--async")["MetricsConfig"] == {"EnableDetailedObservability": False}
    asked = _requested("--detailed-metrics")["MetricsConfig"]
    assert asked == {"EnableDetailedObservability": True}
    assert "MetricsConfig" not in _requested("--serverless")
    result = deploy("endpoint", "--model", MODEL, "--detailed-metrics", answer="n\n")
    assert "by the gigabyte" in result.output


def test_a_topic_hears_of_alarms_and_of_asynchronous_answers(pushed: str) -> None:
    topic = f"arn:aws:sns:{loopback.REGION}:{loopback.ACCOUNT}:brain-tumor-news"
    request = _requested("--async", "--topic", topic)
    told = request["AsyncInferenceConfig"]["OutputConfig"]["NotificationConfig"]
    assert told == {"SuccessTopic": topic, "ErrorTopic": topic}
    printed = succeed("endpoint", "--dry-run", "--model", MODEL, "--topic", topic)
    alarms = loopback.parameters(printed, "cloudwatch:PutMetricAlarm")
    assert [alarm["AlarmActions"] for alarm in alarms] == [[topic]] * 3


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
    account: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group = f"/aws/sagemaker/Endpoints/{NAME}"
    loopback.log(group, "main/i-0fff", *40 * ["GET /ping 200"], begun=time.time() - 3600)
    # The older machines, whose streams' names come last by chance, answer on.
    loopback.client("logs").put_log_events(
        logGroupName=group,
        logStreamName="main/i-0fff",
        logEvents=[{"timestamp": int(time.time() * 1000), "message": "GET /ping 200"}],
    )
    loopback.log(group, "main/i-0aaa", "the new model failed")
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
    assert capsys.readouterr().out.endswith(f"log ({group}):\n  the new model failed\n")


def test_ctrl_c_tells_that_the_endpoint_goes_on_and_costs(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        (endpoint,) = loopback.sagemaker().endpoints.values()
        endpoint.endpoint_status = "Updating"
        raise KeyboardInterrupt

    for model, most, *first in ((MODEL, 2), (OTHER, 3, "--update")):
        words = ("endpoint", "--yes", "--model", model, "--most-instances", most)
        with monkeypatch.context() as patch:
            patch.setattr(endpoint_life, "settle", interrupt)
            result = deploy(*words, *first)
        assert result.exit_code == 1
        assert f"{NAME} goes on, and its machines are paid. Run the same again" in result.output
        assert "`python -m deploy delete` removes it" in result.output
        (endpoint,) = loopback.sagemaker().endpoints.values()
        endpoint.endpoint_status = "InService"
        assert "runs exactly this already" in succeed(*words, "--update")
        assert hosted.scaling()[0] == [(1, most)]


def test_one_that_never_came_up_is_made_anew(pushed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    failed = {"EndpointStatus": "Failed", "EndpointConfigName": "x"}
    monkeypatch.setattr(endpoint_life, "describe", lambda *_: failed)
    monkeypatch.setattr(endpoint_life, "wait", lambda *_: None)
    assert "made anew" in succeed("endpoint", "--yes", "--model", OTHER)


def test_after_delete_nothing_of_the_endpoint_is_left(pushed: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 2)
    listed = succeed("status")
    assert "costs money by the hour" in listed
    succeed("delete", "--yes", "--with-user")
    assert loopback.all_names() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "mine"], "does not begin with brain-tumor-"),
        # Its configuration's is eleven characters longer, and may have 63.
        (["--name", "brain-tumor-" + 41 * "a"], "at most 52"),
        (["--name", "brain-tumor-a_b"], "letters, digits and dashes"),
        (["--serverless", "--capture", 10], "cannot capture data"),
        (["--serverless", "--detailed-metrics"], "has no machine"),
        (["--topic", "arn:aws:sns:eu-central-1:1:heads"], "names begin with brain-tumor-;"),
        (["--topic", "arn:aws:sns:us-east-1:1:brain-tumor-news"], "of this account and region"),
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


def test_it_says_what_it_costs_and_a_no_makes_nothing(pushed: str) -> None:
    result = deploy(
        "endpoint", "--model", MODEL, "--instances", 2, "--most-instances", 3, answer="n\n"
    )
    assert "2 x ml.c5.large: about 0.20 USD an hour" in result.output
    assert "up to 3 of them" in result.output
    result = deploy("endpoint", "--model", MODEL, "--shadow", OTHER, answer="n\n")
    assert "The shadow costs as much again." in result.output
    # Also which of the models and of the images, where nobody has named one.
    for model in (MODEL, OTHER):
        assert f"Model: {model}, served by {pushed}\n" in result.output
    assert loopback.client("sagemaker").list_models()["Models"] == []
