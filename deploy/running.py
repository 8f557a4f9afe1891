"""What an endpoint runs, as options of `endpoint`; an update keeps what it does not name."""

from typing import Any

from deploy import alarms, hosting, scaling
from deploy.errors import DeployError
from deploy.session import Aws

KINDS = ("serverless", "queued", "multi_model")


def options(aws: Aws, endpoint: dict[str, Any]) -> dict[str, Any]:
    """Give the options that make what runs, by their names in the command.

    Raises:
        DeployError: something else than `endpoint` made it.
    """
    name = endpoint["EndpointName"]
    config = _config(aws, endpoint)
    variant = config["ProductionVariants"][0]
    container = _container(aws, variant)
    several = container.get("Mode") == "MultiModel"
    queued = "AsyncInferenceConfig" in config
    own = hosting.ASYNC_SETTINGS.items() if queued else ()
    environment = dict(container.get("Environment", {}).items() - own)
    return {
        "serverless": "ServerlessConfig" in variant,
        "queued": queued,
        "multi_model": _source(container) if several else None,
        "source": None if several else _source(container),
        "image_uri": container.get("Image"),
        "environment": environment,
        "capture_percent": config.get("DataCaptureConfig", {}).get("InitialSamplingPercentage", 0),
        "detailed_metrics": config.get("MetricsConfig", {}).get(
            "EnableDetailedObservability", False
        ),
        **_shadow(aws, config, variant),
        **_size(variant),
        **scaling.options(aws, name),
        **alarms.options(aws, name),
    }


def pending(endpoint: dict[str, Any]) -> dict[str, Any]:
    """Give what AWS tells of a change that goes on; what the endpoint is, where none does."""
    summary: dict[str, Any] = endpoint.get("PendingDeploymentSummary") or endpoint
    return summary


def _config(aws: Aws, endpoint: dict[str, Any]) -> dict[str, Any]:
    # What comes up for the first time runs none yet.
    name = endpoint.get("EndpointConfigName") or pending(endpoint)["EndpointConfigName"]
    # The user's policy allows to read no other.
    if not name.startswith(f"{aws.project}-"):
        raise DeployError(
            f"{endpoint['EndpointName']} runs the configuration {name}, which something else than "
            "this command made, such as CloudFormation: update it there (of a stack the parameters "
            "ImageUri and ModelDataUrl: docs/deploy.md)."
        )
    config: dict[str, Any] = aws.client("sagemaker").describe_endpoint_config(
        EndpointConfigName=name
    )
    return config


def _container(aws: Aws, variant: dict[str, Any]) -> dict[str, Any]:
    model = aws.client("sagemaker").describe_model(ModelName=variant["ModelName"])
    container: dict[str, Any] = model["PrimaryContainer"]
    return container


def _source(container: dict[str, Any]) -> str:
    """Give the S3 URI or the ARN of a model package that a container is made of."""
    source: str = container.get("ModelPackageName") or container["ModelDataUrl"]
    return source


def _shadow(aws: Aws, config: dict[str, Any], variant: dict[str, Any]) -> dict[str, Any]:
    shadows = config.get("ShadowProductionVariants")
    if not shadows:
        return {}
    share = shadows[0]["InitialVariantWeight"] / variant["InitialVariantWeight"]
    return {"shadow": _source(_container(aws, shadows[0])), "shadow_percent": round(100 * share)}


def _size(variant: dict[str, Any]) -> dict[str, Any]:
    serverless = variant.get("ServerlessConfig")
    if serverless:
        return {
            "memory_mb": serverless["MemorySizeInMB"],
            "concurrency": serverless["MaxConcurrency"],
        }
    return {
        "instance_type": variant["InstanceType"],
        "instances": variant["InitialInstanceCount"],
    }
