"""A training job watched from here: its stages, its log, how it ended."""

import time
from collections.abc import Iterator
from typing import Any

import click

from deploy.errors import DeployError, or_none, tell_failure
from deploy.session import Aws

GROUP = "/aws/sagemaker/TrainingJobs"
_POLL_SECONDS = 5.0
_LAST_LINES = 30
# Of an endpoint that lives long there are many.
_MOST_STREAMS = 20
_NOT_KEPT = (
    "Its machines are not kept; perhaps the account's quota for it is 0: an administrator asks for "
    "more in the console of Service Quotas, under Amazon SageMaker, 'warm pool'."
)
ENDED = ("Completed", "Failed", "Stopped")


def watch(aws: Aws, name: str) -> dict[str, Any]:
    """Print a job's stages and log until it ends; give AWS's description of it.

    Raises:
        DeployError: it failed, with the cause.
    """
    log = Log(aws, GROUP, f"{name}/")
    shown = 0
    while True:
        job: dict[str, Any] = aws.client("sagemaker").describe_training_job(TrainingJobName=name)
        stages = job.get("SecondaryStatusTransitions", [])
        for stage in stages[shown:]:
            click.echo(f"[{stage['Status']}] {stage.get('StatusMessage', '')}".rstrip())
        shown = len(stages)
        # After the description: what was logged before the end is there when the end is told.
        for line in log.new_lines():
            click.echo(line)
        if job["TrainingJobStatus"] in ENDED:
            return _judge(name, job)
        time.sleep(_POLL_SECONDS)


class Log:
    """The log of a job, one stream an instance; it knows how far each was read."""

    def __init__(self, aws: Aws, group: str, prefix: str) -> None:
        self._client = aws.client("logs")
        self._group = group
        self._prefix = prefix
        self._read: dict[str, str] = {}

    def new_lines(self) -> Iterator[str]:
        """Give what was logged since the last call; lines of several instances name theirs."""
        streams = _streams(self._client, self._group, self._prefix)
        names = [stream["logStreamName"] for stream in streams]
        for name in names:
            host = name.removeprefix(self._prefix).rsplit("-", 1)[0]
            for message in self._stream(name):
                yield f"{host}  {message}" if len(names) > 1 else message

    def _stream(self, name: str) -> Iterator[str]:
        while True:
            token = self._read.get(name)
            answer = self._client.get_log_events(
                logGroupName=self._group,
                logStreamName=name,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            yield from (event["message"] for event in answer["events"])
            self._read[name] = answer["nextForwardToken"]
            # The same token again: the end of what there is.
            if answer["nextForwardToken"] == token:
                return


def _streams(client: Any, group: str, prefix: str) -> list[dict[str, Any]]:
    pages = client.get_paginator("describe_log_streams").paginate(
        logGroupName=group, logStreamNamePrefix=prefix
    )
    # Neither the group nor a stream exists before the first line.
    listed = or_none(pages.build_full_result) or {}
    streams: list[dict[str, Any]] = listed.get("logStreams", [])
    return streams


def show_end(aws: Aws, group: str, prefix: str, since: float = 0) -> None:
    """Print the end of a container's log, where there is one: the last lines of all its streams.

    Args:
        aws: who asks.
        group: of the streams.
        prefix: with which their names begin.
        since: seconds since 1970; where streams were begun later, those of older machines, which
            may log on, are left out.
    """
    client = aws.client("logs")
    found = sorted(_streams(client, group, prefix), key=lambda stream: stream["creationTime"])
    new = [stream for stream in found if stream["creationTime"] >= 1000 * since] or found
    names = [stream["logStreamName"] for stream in new[-_MOST_STREAMS:]]
    events = [
        (event["timestamp"], f"{name.removeprefix(prefix)}  " if len(names) > 1 else "", event)
        for name in names
        for event in _end_of(client, group, name)
    ]
    if events:
        click.echo(f"The end of the container's log ({group}):")
    for _, host, event in sorted(events, key=lambda item: item[0])[-_LAST_LINES:]:
        click.echo(f"  {host}{event['message'].rstrip()}")


def _end_of(client: Any, group: str, stream: str) -> list[dict[str, Any]]:
    """Give the last events of a stream; AWS may answer with none before it gives some."""
    token = None
    while True:
        answer = client.get_log_events(
            logGroupName=group,
            logStreamName=stream,
            startFromHead=False,
            limit=_LAST_LINES,
            **({"nextToken": token} if token else {}),
        )
        events: list[dict[str, Any]] = answer["events"]
        # The same token again: the beginning of what there is.
        if events or answer["nextBackwardToken"] == token:
            return events
        token = answer["nextBackwardToken"]


def _judge(name: str, job: dict[str, Any]) -> dict[str, Any]:
    if job["TrainingJobStatus"] == "Failed":
        _tell_pool(job)
        raise DeployError(f"{name} failed: {tell_failure(job)}")
    for metric in job.get("FinalMetricDataList", []):
        click.echo(f"{metric['MetricName']}={metric['Value']:.6g}")
    click.echo(f"{name}: {job['TrainingJobStatus']}, {_billed(job)}")
    _tell_pool(job)
    return job


def _tell_pool(job: dict[str, Any]) -> None:
    """Say what became of machines that were to be kept for a next job."""
    seconds = job.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds")
    pool = job.get("WarmPoolStatus", {})
    kept = pool.get("ResourceRetainedBillableTimeInSeconds")
    if not seconds:
        return
    if kept:
        click.echo(f"Its machines were kept, and paid, for {kept} s.")
    elif pool.get("Status") == "Available":
        click.echo(f"Its machines are kept, and paid, for {seconds} s.")
    # A next job may have taken them over already.
    elif pool.get("Status") not in ("InUse", "Reused"):
        click.echo(_NOT_KEPT)


def _billed(job: dict[str, Any]) -> str:
    billed, ran = job.get("BillableTimeInSeconds"), job.get("TrainingTimeInSeconds")
    if billed is None or not ran:
        return "no time was billed yet"
    saved = f", {100 * (1 - billed / ran):.0f} % saved by spot" if billed < ran else ""
    return f"{billed} s billed{saved}"
