"""Autoscaling of an endpoint: by its requests, or by the queue of an asynchronous one."""

from typing import Any

from deploy import tags
from deploy.hosting import VARIANT, Hosting
from deploy.session import Aws

_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
# Machines come fast and go slowly: a new one takes minutes until it answers.
_COOLDOWNS = {"ScaleOutCooldown": 60, "ScaleInCooldown": 300}
_WAITING_PER_INSTANCE = 5.0


def start(aws: Aws, endpoint: str, hosting: Hosting, requests_a_minute: float) -> None:
    """Let the number of machines follow the load, between the two that were chosen."""
    client, target = aws.client("application-autoscaling"), _target(endpoint)
    client.register_scalable_target(
        **target,
        MinCapacity=hosting.instance_count,
        MaxCapacity=hosting.most_instances,
        Tags=tags.as_map(aws.project),
    )
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


def stop(aws: Aws, endpoint: str) -> None:
    """Forget autoscaling: AWS refuses an update that changes the machines of what it scales."""
    client, target = aws.client("application-autoscaling"), _target(endpoint)
    wanted = {name: value for name, value in target.items() if name != "ResourceId"}
    found = client.describe_scalable_targets(**wanted, ResourceIds=[target["ResourceId"]])
    if found["ScalableTargets"]:
        client.deregister_scalable_target(**target)


def _target(endpoint: str) -> dict[str, str]:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/{VARIANT}",
        "ScalableDimension": _DIMENSION,
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
