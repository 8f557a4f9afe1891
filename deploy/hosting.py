"""Endpoints as the API takes them: what a person chose, and the configuration made of it."""

from dataclasses import dataclass
from typing import Any

from deploy import names, prices, tags
from deploy.errors import DeployError, or_none
from deploy.session import Aws

VARIANT = "main"
_SHADOW = "shadow"
# A model that is loaded, checked and warm takes seconds; fetching the image takes minutes.
_START_SECONDS = 480
_ASYNC_CONCURRENCY = 4
ASYNC_SETTINGS = {"BRAIN_TUMOR_MAX_BODY_MB": "1024"}
"""Of an asynchronous container: what SageMaker lets through; elsewhere less is allowed."""


@dataclass(frozen=True)
class Hosting:
    """What a person chose for an endpoint."""

    kind: str
    """`real-time`, `serverless`, `async` or `multi-model`."""
    instance_type: str = "ml.c5.large"
    instance_count: int = 1
    most_instances: int = 1
    """Autoscaling goes up to so many; no more than `instance_count` means none."""
    memory_mb: int = 3072
    concurrency: int = 5
    """Requests at once of a serverless endpoint."""
    capture_percent: int = 0
    """Share of requests and answers that is written into the bucket."""
    topic: str | None = None
    """ARN of an SNS topic that is told of alarms, and of what an asynchronous endpoint did."""
    shadow_percent: int = 100
    """Share of the requests that a shadow variant gets too."""
    detailed_metrics: bool = False
    """Whether AWS reads /metrics and each machine's load into CloudWatch."""

    def __post_init__(self) -> None:
        if self.kind == "serverless" and self.capture_percent:
            raise DeployError("A serverless endpoint cannot capture data: leave out --capture.")
        if self.kind == "serverless" and self.detailed_metrics:
            raise DeployError("A serverless endpoint has no machine: leave out --detailed-metrics.")
        if self.kind != "async" and self.instance_count < 1:
            raise DeployError("Only an --async endpoint can have no instance: it keeps a queue.")

    @property
    def has_instances(self) -> bool:
        """Whether machines run, and are paid, for as long as it exists."""
        return self.kind != "serverless"

    @property
    def first_instances(self) -> int:
        """Machines to start with; one is needed, which a queue then lets go."""
        return max(1, self.instance_count)

    @property
    def scales(self) -> bool:
        """Whether the number of machines follows the load."""
        return self.has_instances and self.most_instances > self.instance_count

    def cost(self, aws: Aws, machines: int | None = None) -> str:
        """Say what it costs for as long as it exists.

        It begins with so many machines; without them with those that were chosen.
        """
        if not self.has_instances:
            return (
                f"Serverless, {self.memory_mb} MB: costs nothing while nobody asks; each request "
                "is paid by its milliseconds (aws.amazon.com/sagemaker/pricing)."
            )
        told = prices.sentence(aws, self.instance_type, machines or self.first_instances)
        more = f" Under load up to {self.most_instances} of them." if self.scales else ""
        measured = " CloudWatch bills detailed metrics by the gigabyte."
        more += measured if self.detailed_metrics else ""
        return f"{told}{more} Until `python -m deploy delete`."


def kinds(options: dict[str, Any]) -> list[str]:
    """Give the kinds that options of `endpoint` ask for; none, for a real-time endpoint."""
    asked = {
        "serverless": options["serverless"],
        "async": options["queued"],
        "multi-model": options["multi_model"],
    }
    return [kind for kind, given in asked.items() if given]


def make_config(
    aws: Aws, endpoint: str, hosting: Hosting, model: str, shadow: str | None = None
) -> str:
    """Make the endpoint's configuration where it is missing; give its name."""
    request = config_request(aws, endpoint, hosting, model, shadow)
    name = names.by_content(endpoint, request)
    client = aws.client("sagemaker")
    if or_none(client.describe_endpoint_config, EndpointConfigName=name) is None:
        client.create_endpoint_config(
            EndpointConfigName=name, **request, Tags=tags.as_list(aws.project)
        )
    return name


def config_request(
    aws: Aws, endpoint: str, hosting: Hosting, model: str, shadow: str | None = None
) -> dict[str, Any]:
    """Make the parameters of CreateEndpointConfig, without name and tags."""
    request: dict[str, Any] = {"ProductionVariants": [_variant(VARIANT, hosting, model, 1.0)]}
    if shadow:
        # A shadow gets requests in the proportion of its weight to the other's.
        weight = hosting.shadow_percent / 100
        request["ShadowProductionVariants"] = [_variant(_SHADOW, hosting, shadow, weight)]
    if hosting.has_instances:
        # AWS's default is true since June 2026, and paid.
        request["MetricsConfig"] = {"EnableDetailedObservability": hosting.detailed_metrics}
    if hosting.capture_percent:
        request["DataCaptureConfig"] = _capture(aws, endpoint, hosting.capture_percent)
    if hosting.kind == "async":
        request["AsyncInferenceConfig"] = _queue(aws, endpoint, hosting)
    return request


def _variant(name: str, hosting: Hosting, model: str, weight: float) -> dict[str, Any]:
    variant = {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight}
    if not hosting.has_instances:
        serverless = {"MemorySizeInMB": hosting.memory_mb, "MaxConcurrency": hosting.concurrency}
        return {**variant, "ServerlessConfig": serverless}
    return {
        **variant,
        "InstanceType": hosting.instance_type,
        "InitialInstanceCount": hosting.first_instances,
        "ContainerStartupHealthCheckTimeoutInSeconds": _START_SECONDS,
    }


def _capture(aws: Aws, endpoint: str, percent: int) -> dict[str, Any]:
    return {
        "EnableCapture": True,
        "InitialSamplingPercentage": percent,
        "DestinationS3Uri": f"s3://{aws.bucket}/capture/{endpoint}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        # What is listed is kept as text, all else (scans) as base64.
        "CaptureContentTypeHeader": {
            "CsvContentTypes": ["text/csv"],
            "JsonContentTypes": ["application/json", "application/jsonlines"],
        },
    }


def _queue(aws: Aws, endpoint: str, hosting: Hosting) -> dict[str, Any]:
    place = f"s3://{aws.bucket}/async/{endpoint}"
    output: dict[str, Any] = {"S3OutputPath": f"{place}/output", "S3FailurePath": f"{place}/failed"}
    if hosting.topic:
        topics = {"SuccessTopic": hosting.topic, "ErrorTopic": hosting.topic}
        output["NotificationConfig"] = topics
    return {
        "OutputConfig": output,
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": _ASYNC_CONCURRENCY},
    }


def deployment(machines: int, alarms: list[str]) -> dict[str, Any]:
    """Make DeploymentConfig: new machines beside the old ones, and back when an alarm goes off.

    Of several new machines one gets requests first.
    """
    routing: dict[str, Any] = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 300}
    if machines > 1:
        routing["Type"] = "CANARY"
        routing["CanarySize"] = {"Type": "INSTANCE_COUNT", "Value": 1}
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": 120,
            "MaximumExecutionTimeoutInSeconds": 3600,
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
    }
