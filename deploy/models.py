"""SageMaker's Model: an archive or a model package, and the image that serves it."""

from typing import Any

from deploy import image, names, sources, tags
from deploy.errors import or_none
from deploy.session import Aws
from deploy.sources import Source


def choose(aws: Aws, source: Source, image_uri: str | None) -> str | None:
    """Give the URI of the image that serves a model; None where the registry knows it.

    Without one that is named it is what was last pushed.
    """
    if source.place.startswith("arn:"):
        return None
    return image_uri or image.newest(aws)


def sentence(source: Source, image_uri: str | None) -> str:
    """Say which model and which image are meant."""
    return f"{source.place}, served by {image_uri or 'the image it was registered with'}"


def make(
    aws: Aws,
    source: Source,
    image_uri: str | None,
    environment: dict[str, str],
    *,
    several: bool = False,
    isolation: bool = True,
) -> str:
    """Make the Model where it is missing; give its name.

    Args:
        aws: who asks.
        source: what `sources.find` gave, or with `several` an S3 prefix of archives.
        image_uri: what `choose` gave.
        environment: variables of the container.
        several: one container for all archives below the prefix.
        isolation: no network in the container; serverless and multi-model endpoints cannot have it.
    """
    place = sources.store(aws, source)
    container: dict[str, Any] = (
        {"Image": image_uri, "ModelDataUrl": place} if image_uri else {"ModelPackageName": place}
    )
    if several:
        container["Mode"] = "MultiModel"
    if environment:
        container["Environment"] = environment
    request = {
        "PrimaryContainer": container,
        "ExecutionRoleArn": aws.role_arn,
        "EnableNetworkIsolation": isolation and not several,
    }
    name = names.by_content(f"{aws.project}-model", request)
    client = aws.client("sagemaker")
    if or_none(client.describe_model, ModelName=name) is None:
        client.create_model(ModelName=name, **request, Tags=tags.as_list(aws.project))
    return name
