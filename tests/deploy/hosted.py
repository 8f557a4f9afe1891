"""The endpoint, its alarms and training jobs as moto holds them."""

from typing import Any

from deploy import tags
from tests.deploy import loopback

NAME = "brain-tumor-endpoint"
MODEL = f"s3://{loopback.BUCKET}/jobs/brain-tumor-1/output/model.tar.gz"
OTHER = f"s3://{loopback.BUCKET}/jobs/brain-tumor-2/output/model.tar.gz"


def endpoint() -> dict[str, Any]:
    """Describe the endpoint."""
    described: dict[str, Any] = loopback.client("sagemaker").describe_endpoint(EndpointName=NAME)
    return described


def alarms() -> dict[str, dict[str, Any]]:
    """Give all alarms by their names."""
    found = loopback.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm for alarm in found}


def config() -> dict[str, Any]:
    """Describe the configuration that the endpoint runs."""
    described: dict[str, Any] = loopback.client("sagemaker").describe_endpoint_config(
        EndpointConfigName=endpoint()["EndpointConfigName"]
    )
    return described


def model(name: str) -> dict[str, Any]:
    """Describe a Model."""
    described: dict[str, Any] = loopback.client("sagemaker").describe_model(ModelName=name)
    return described


def scaling() -> tuple[list[Any], list[Any]]:
    """Give the limits of each scalable target, and the content of each policy."""
    client = loopback.client("application-autoscaling")
    targets = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    for policy in policies:
        del policy["PolicyARN"], policy["CreationTime"], policy["Alarms"]
    return [(target["MinCapacity"], target["MaxCapacity"]) for target in targets], policies


def train(
    name: str,
    image: str = "image",
    project: str = "brain-tumor",
    more: dict[str, str] | None = None,
) -> Any:
    """Make a training job, which moto lets complete at once; give moto's own of it."""
    loopback.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::123456789012:role/brain-tumor-execution",
        OutputDataConfig={"S3OutputPath": f"s3://{loopback.BUCKET}/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Tags=[*tags.as_list(project), *([more] if more else [])],
    )
    return loopback.sagemaker().training_jobs[name]
