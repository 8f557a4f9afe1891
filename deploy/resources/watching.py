"""What watches and scales endpoints: scaling targets, alarms, log groups."""

from collections.abc import Iterator

from deploy import scaling, tags
from deploy.resources import Kind, Resource
from deploy.resources.sagemaker import find_endpoints
from deploy.session import Aws


def _find_targets(aws: Aws) -> Iterator[Resource]:
    """Find the scaling targets of the project's endpoints; they are named after them."""
    ours = {endpoint.name for endpoint in find_endpoints(aws)}
    client = aws.client("application-autoscaling")
    pages = client.get_paginator("describe_scalable_targets").paginate(ServiceNamespace="sagemaker")
    for target in [target for page in pages for target in page["ScalableTargets"]]:
        # endpoint/NAME/variant/VARIANT
        if target["ResourceId"].split("/")[1] in ours:
            yield Resource("scaling target", target["ResourceId"])


def _remove_target(aws: Aws, resource: Resource) -> None:
    """Deregister it; its policies and their alarms go with it."""
    aws.client("application-autoscaling").deregister_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=resource.name,
        ScalableDimension=scaling.DIMENSION,
    )


def _find_alarms(aws: Aws) -> Iterator[Resource]:
    client = aws.client("cloudwatch")
    pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{aws.project}-")
    for alarm in [alarm for page in pages for alarm in page["MetricAlarms"]]:
        arn = alarm["AlarmArn"]
        if tags.marks(aws.project, client.list_tags_for_resource(ResourceARN=arn)["Tags"]):
            yield Resource("alarm", alarm["AlarmName"], arn, alarm.get("StateValue", ""))


def _remove_alarm(aws: Aws, resource: Resource) -> None:
    aws.client("cloudwatch").delete_alarms(AlarmNames=[resource.name])


def _find_log_groups(aws: Aws) -> Iterator[Resource]:
    """Find those of endpoints: the groups of an account's jobs are shared, and carry no tag."""
    client = aws.client("logs")
    pages = client.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix=f"/aws/sagemaker/Endpoints/{aws.project}-"
    )
    for group in [group for page in pages for group in page["logGroups"]]:
        arn = group["arn"].removesuffix(":*")
        if tags.marks(aws.project, client.list_tags_for_resource(resourceArn=arn)["tags"]):
            yield Resource("log group", group["logGroupName"], arn)


def _remove_log_group(aws: Aws, resource: Resource) -> None:
    aws.client("logs").delete_log_group(logGroupName=resource.name)


LOG_GROUP = Kind("log group", _find_log_groups, _remove_log_group)
KINDS = [
    Kind("scaling target", _find_targets, _remove_target),
    Kind("alarm", _find_alarms, _remove_alarm),
]
