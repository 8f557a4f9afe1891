"""Autoscaling of an endpoint: by its requests, or by the queue of an asynchronous one."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from deploy import endpoint_life, tags
from deploy.errors import or_none
from deploy.hosting import VARIANT, Hosting
from deploy.session import Aws

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
# Machines come fast and go slowly: a new one takes minutes until it answers.
_COOLDOWNS = {"ScaleOutCooldown": 60, "ScaleInCooldown": 300}
_WAITING_PER_INSTANCE = 5.0


def follow(aws: Aws, endpoint: str, hosting: Hosting, requests_a_minute: float) -> None:
    """Let the number of machines follow the load where that was chosen; no more where not."""
    if hosting.scales:
        _start(aws, endpoint, hosting, requests_a_minute)
    else:
        stop(aws, endpoint)


def _start(aws: Aws, endpoint: str, hosting: Hosting, requests_a_minute: float) -> None:
    client, target = aws.client("application-autoscaling"), _target(endpoint)
    _register(aws, endpoint, hosting.instance_count, hosting.most_instances)
    waits = hosting.kind == "async"
    client.put_scaling_policy(
        **target,
        PolicyName=f"{endpoint}-load",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            **(_by_queue(endpoint) if waits else _by_requests(requests_a_minute)),
            **_COOLDOWNS,
        },
    )
    if waits and hosting.instance_count == 0:
        _wake(aws, endpoint)


def describe(aws: Aws, endpoint: str) -> dict[str, Any] | None:
    """Give the endpoint's scalable target as AWS knows it; None where it does not scale."""
    target = _target(endpoint)
    place = target.pop("ResourceId")
    client = aws.client("application-autoscaling")
    found = client.describe_scalable_targets(**target, ResourceIds=[place])["ScalableTargets"]
    return found[0] if found else None


def policies(aws: Aws, endpoint: str) -> list[dict[str, Any]]:
    """Give the policies by which the endpoint scales, as AWS knows them."""
    client = aws.client("application-autoscaling")
    found: list[dict[str, Any]] = client.describe_scaling_policies(**_target(endpoint))[
        "ScalingPolicies"
    ]
    return found


def options(aws: Aws, endpoint: str) -> dict[str, Any]:
    """Give the options of `endpoint` by which it scales; none where it does not."""
    target = describe(aws, endpoint)
    if not target:
        return {}
    known = {"instances": target["MinCapacity"], "most_instances": target["MaxCapacity"]}
    for policy in policies(aws, endpoint):
        tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
        if "PredefinedMetricSpecification" in tracking:
            known["requests_a_minute"] = tracking["TargetValue"]
    return known


def stop(aws: Aws, endpoint: str) -> None:
    """Forget autoscaling, with its policies and what wakes a first machine, where there is any."""
    if describe(aws, endpoint):
        # AWS removes the alarms that it made, which this is not.
        or_none(aws.client("cloudwatch").delete_alarms, AlarmNames=[f"{endpoint}-wake"])
        aws.client("application-autoscaling").deregister_scalable_target(**_target(endpoint))


@contextmanager
def paused(aws: Aws, endpoint: str) -> Iterator[None]:
    """Stop autoscaling for an update to another type of machine, which AWS refuses otherwise.

    What is to scale from then on starts within: an error until then, such as a rollback, brings
    back what was.
    """
    scales = options(aws, endpoint)
    known = policies(aws, endpoint)
    stop(aws, endpoint)
    try:
        yield
    except BaseException:
        if scales:
            _recover(aws, endpoint, scales, known)
        raise


def _recover(aws: Aws, endpoint: str, scales: dict[str, Any], known: list[dict[str, Any]]) -> None:
    """Bring autoscaling back to an endpoint that answers, or say that it is gone."""
    # What went wrong first is what is told.
    with suppress(Exception):
        there = endpoint_life.describe(aws, endpoint)
        if there and there["EndpointStatus"] == "InService":
            _register(aws, endpoint, scales["instances"], scales["most_instances"])
            _put_back(aws, endpoint, known)
            return
    by = " ".join(f"--{name.replace('_', '-')} {value:g}" for name, value in scales.items())
    click.echo(
        f"{endpoint} does not scale any more. Once it answers, run the same again with --update "
        f"{by}.",
        err=True,
    )


def _put_back(aws: Aws, endpoint: str, known: list[dict[str, Any]]) -> None:
    for policy in known:
        if policy["PolicyType"] == "StepScaling":
            # With its alarm, which names the policy's ARN.
            _wake(aws, endpoint)
            continue
        tracking = policy["TargetTrackingScalingPolicyConfiguration"]
        aws.client("application-autoscaling").put_scaling_policy(
            **_target(endpoint),
            PolicyName=policy["PolicyName"],
            PolicyType=policy["PolicyType"],
            TargetTrackingScalingPolicyConfiguration=tracking,
        )


def _register(aws: Aws, endpoint: str, least: int, most: int) -> None:
    # AWS refuses tags for a target that is there already.
    tagged = {} if describe(aws, endpoint) else {"Tags": tags.as_map(aws.project)}
    aws.client("application-autoscaling").register_scalable_target(
        **_target(endpoint), MinCapacity=least, MaxCapacity=most, **tagged
    )


def _target(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": DIMENSION,
    }


def _by_requests(a_minute: float) -> dict[str, Any]:
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    return {"TargetValue": a_minute, "PredefinedMetricSpecification": metric}


def _by_queue(endpoint: str) -> dict[str, Any]:
    metric = {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
        "Statistic": "Average",
    }
    return {"TargetValue": _WAITING_PER_INSTANCE, "CustomizedMetricSpecification": metric}


def _wake(aws: Aws, endpoint: str) -> None:
    """Start a first machine when something waits: without any there is no queue per machine."""
    policy = aws.client("application-autoscaling").put_scaling_policy(
        **_target(endpoint),
        PolicyName=f"{endpoint}-wake",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": 300,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{endpoint}-wake",
        AlarmDescription="Requests wait, and no machine runs",
        Namespace="AWS/SageMaker",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=[{"Name": "EndpointName", "Value": endpoint}],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=2,
        DatapointsToAlarm=2,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
        AlarmActions=[policy["PolicyARN"]],
        Tags=tags.as_list(aws.project),
    )
