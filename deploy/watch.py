"""A training job watched from here: its stages, its log, how it ended."""

import time
from collections.abc import Iterator
from typing import Any

import click

from deploy.errors import DeployError, explain_failure, or_none
from deploy.session import Aws

GROUP = "/aws/sagemaker/TrainingJobs"
_POLL_SECONDS = 5.0
_LAST_LINES = 30
_NOT_KEPT = (
    "Its machines are not kept: an account's quota for warm pools is 0 until an administrator asks "
    "for more, in the console of Service Quotas under Amazon SageMaker, 'warm pool'."
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
        listed = or_none(
            self._client.describe_log_streams,
            logGroupName=self._group,
            logStreamNamePrefix=self._prefix,
        )
        # Neither the group nor a stream exists before the first line.
        names = [stream["logStreamName"] for stream in (listed or {}).get("logStreams", [])]
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


def show_end(aws: Aws, group: str, prefix: str) -> None:
    """Print the end of a container's log, where there is one."""
    lines = list(Log(aws, group, prefix).new_lines())
    if lines:
        click.echo(f"The end of the container's log ({group}):")
    for line in lines[-_LAST_LINES:]:
        click.echo(f"  {line.rstrip()}")


def _judge(name: str, job: dict[str, Any]) -> dict[str, Any]:
    if job["TrainingJobStatus"] == "Failed":
        reason = job.get("FailureReason", "AWS gives no reason")
        remedy = explain_failure(reason)
        raise DeployError(f"{name} failed: {reason}" + (f" {remedy}" if remedy else ""))
    for metric in job.get("FinalMetricDataList", []):
        click.echo(f"{metric['MetricName']}={metric['Value']:.6g}")
    click.echo(f"{name}: {job['TrainingJobStatus']}, {_billed(job)}")
    if job.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds") and not _keeps(job):
        click.echo(_NOT_KEPT)
    return job


def _keeps(job: dict[str, Any]) -> bool:
    """Whether a job's machines are kept, or were taken over by a next job already."""
    return job.get("WarmPoolStatus", {}).get("Status") in ("Available", "InUse", "Reused")


def _billed(job: dict[str, Any]) -> str:
    billed, ran = job.get("BillableTimeInSeconds"), job.get("TrainingTimeInSeconds")
    if billed is None or not ran:
        return "no time was billed yet"
    saved = f", {100 * (1 - billed / ran):.0f} % saved by spot" if billed < ran else ""
    return f"{billed} s billed{saved}"
