"""An endpoint made or updated, watched until it answers; if it does not, its own log says why."""

import time
from typing import Any

import click

from deploy import hosting, tags, watch
from deploy.errors import DeployError, or_none, tell_failure
from deploy.session import Aws

_POLL_SECONDS = 10.0
CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
"""States of an endpoint in which AWS refuses to delete it."""
_KEEP_LOG_DAYS = 30
# AWS refuses the signatures of a clock that is further from its own.
_CLOCK_SECONDS = 300


def describe(aws: Aws, name: str) -> dict[str, Any] | None:
    """Give what AWS knows of an endpoint; None where there is none."""
    found: dict[str, Any] | None = or_none(
        aws.client("sagemaker").describe_endpoint, EndpointName=name
    )
    return found


def make_log_group(aws: Aws, name: str) -> None:
    """Make the endpoint's log group before the platform does, for it to carry the tag."""
    from botocore.exceptions import ClientError

    client, group = aws.client("logs"), _group(name)
    try:
        client.create_log_group(logGroupName=group, tags=tags.as_map(aws.project))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
            raise
    client.put_retention_policy(logGroupName=group, retentionInDays=_KEEP_LOG_DAYS)


def create(aws: Aws, name: str, config: str) -> None:
    """Make the endpoint; one that never came up is removed first."""
    client = aws.client("sagemaker")
    there = describe(aws, name)
    if there:
        click.echo(f"{name} never came up: it is made anew")
        client.delete_endpoint(EndpointName=name)
        client.get_waiter("endpoint_deleted").wait(EndpointName=name)
    client.create_endpoint(
        EndpointName=name, EndpointConfigName=config, Tags=tags.as_list(aws.project)
    )


def update(
    aws: Aws, name: str, config: str, deployment: dict[str, Any], retained: dict[str, Any]
) -> None:
    """Exchange what the endpoint runs, while it answers.

    Args:
        aws: who asks.
        name: of the endpoint.
        config: name of the new configuration.
        deployment: how, as DeploymentConfig.
        retained: the parameters by which AWS keeps what the endpoint has now; none, for all to be
            as the configuration says.
    """
    aws.client("sagemaker").update_endpoint(
        EndpointName=name, EndpointConfigName=config, DeploymentConfig=deployment, **retained
    )


def wait(aws: Aws, name: str, config: str) -> None:
    """Print how it goes until the endpoint answers with this configuration.

    Raises:
        DeployError: it failed, or was rolled back; the end of its log is printed before.
        Abort: by Ctrl-C; what it does not end is told before.
    """
    begun = time.time() - _CLOCK_SECONDS
    try:
        endpoint = settle(aws, name)
    except KeyboardInterrupt:
        click.echo(
            f"\n{name} goes on, and its machines are paid. Run the same again with --update to "
            "see it, and to scale it; `python -m deploy delete` removes it.",
            err=True,
        )
        raise click.Abort from None
    if endpoint is None:
        raise DeployError(f"The endpoint {name} was deleted meanwhile.")
    _judge(aws, endpoint, config, begun)


def settle(aws: Aws, name: str) -> dict[str, Any] | None:
    """Print how it goes while the endpoint changes; give what it is then, None where it is gone."""
    begun, shown = time.monotonic(), ""
    while endpoint := describe(aws, name):
        status: str = endpoint["EndpointStatus"]
        if status != shown:
            click.echo(f"[{status}] after {(time.monotonic() - begun) / 60:.1f} minutes")
            shown = status
        if status not in CHANGING:
            return endpoint
        time.sleep(_POLL_SECONDS)
    return None


def _judge(aws: Aws, endpoint: dict[str, Any], config: str, begun: float) -> None:
    name, status = endpoint["EndpointName"], endpoint["EndpointStatus"]
    back = status == "InService" and endpoint.get("EndpointConfigName") != config
    if status == "InService" and not back:
        return
    watch.show_end(aws, _group(name), f"{hosting.VARIANT}/", begun)
    what = f"{name} was rolled back and answers as before" if back else f"{name} is {status}"
    raise DeployError(f"{what}: {tell_failure(endpoint)}")


def _group(name: str) -> str:
    return f"/aws/sagemaker/Endpoints/{name}"
