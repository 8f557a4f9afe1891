"""Alarms of an endpoint, and those that roll an update back."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import click

from deploy import endpoint_life, names, tags
from deploy.errors import explain
from deploy.hosting import VARIANT
from deploy.session import Aws


@dataclass(frozen=True)
class _Alarm:
    """What is measured over each minute, and the limit for it; CloudWatch's names."""

    name: str
    metric: str
    statistic: dict[str, str]
    limit: float
    minutes: int
    """So many are looked at, of which two must be above the limit: one bad minute is no fault."""
    about: str


@dataclass(frozen=True)
class Limits:
    """How long answers may take, in milliseconds."""

    mean_ms: float
    p99_ms: float


def make(aws: Aws, endpoint: str, limits: Limits | None, topic: str | None = None) -> None:
    """Make an endpoint's alarms, or bring them up to date.

    Without limits errors alone are watched.
    """
    _put(aws, endpoint, _dimensions(endpoint), limits, topic)


@contextmanager
def guarding(aws: Aws, endpoint: str, config: str, limits: Limits | None) -> Iterator[list[str]]:
    """Watch the machines of a new configuration alone while an update goes on; give the alarms.

    The old ones may fail: that may be what the update is to mend, and would end it.
    """
    dimensions = {**_dimensions(endpoint), "EndpointConfigName": config}
    with forgetting(aws, endpoint):
        # One of an earlier try would keep its state, and end the update at once.
        _forget(aws, endpoint)
        yield _put(aws, config, dimensions, limits, None)


@contextmanager
def forgetting(aws: Aws, endpoint: str) -> Iterator[None]:
    """Remove afterwards, however it went, what `guarding` made, now or in a run that was cut off.

    While an update goes on they stay: without them AWS would roll it back.
    """
    try:
        yield
    except BaseException:
        # What went wrong first is what is told.
        with suppress(Exception):
            _forget(aws, endpoint)
        raise
    try:
        _forget(aws, endpoint)
    except Exception as error:
        # What was asked for is done.
        told = explain(error)
        if told is None:
            raise
        click.echo(
            f"Alarms of {endpoint}'s update may be left, and are billed: {told} The same again "
            "with --update removes them.",
            err=True,
        )


def _forget(aws: Aws, endpoint: str) -> None:
    there = endpoint_life.describe(aws, endpoint)
    if there and there["EndpointStatus"] in endpoint_life.CHANGING:
        return
    client = aws.client("cloudwatch")
    pages = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{endpoint}-")
    found = [alarm for page in pages for alarm in page["MetricAlarms"]]
    guards = [alarm["AlarmName"] for alarm in found if _guards(endpoint, alarm)]
    if guards:
        client.delete_alarms(AlarmNames=guards)


def _guards(endpoint: str, alarm: dict[str, Any]) -> bool:
    """Whether an alarm watches one configuration of this endpoint alone."""
    # By its name alone it could be a lasting one of an endpoint that is called NAME-2026112601.
    dimensions = {item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])}
    return (
        dimensions.get("EndpointName") == endpoint
        and "EndpointConfigName" in dimensions
        and bool(re.fullmatch(rf"{names.by_content_of(endpoint)}-\w+", alarm["AlarmName"]))
    )


def options(aws: Aws, endpoint: str) -> dict[str, Any]:
    """Give the options of `endpoint` of which its alarms were made."""
    named = [f"{endpoint}-{name}" for name in ("errors", "latency", "p99")]
    found = aws.client("cloudwatch").describe_alarms(AlarmNames=named)["MetricAlarms"]
    known: dict[str, Any] = {}
    for alarm in found:
        if alarm["AlarmName"] == named[0]:
            known["topic"] = next(iter(alarm["AlarmActions"]), None)
        else:
            option = "mean_ms" if alarm["AlarmName"] == named[1] else "p99_ms"
            known[option] = alarm["Threshold"] / 1000
    return known


_ERRORS = _Alarm(
    "errors",
    "Invocation5XXErrors",
    {"Statistic": "Sum"},
    0,
    3,
    "A request failed by a fault of the container, not of the caller",
)


def _latencies(limits: Limits) -> list[_Alarm]:
    # ModelLatency is in microseconds, from the request's first byte to the answer's last.
    return [
        _Alarm(
            "latency",
            "ModelLatency",
            {"Statistic": "Average"},
            limits.mean_ms * 1000,
            2,
            f"Answers take longer than {limits.mean_ms:g} ms on average",
        ),
        _Alarm(
            "p99",
            "ModelLatency",
            {"ExtendedStatistic": "p99"},
            limits.p99_ms * 1000,
            2,
            f"One answer in a hundred takes longer than {limits.p99_ms:g} ms",
        ),
    ]


def _dimensions(endpoint: str) -> dict[str, str]:
    return {"EndpointName": endpoint, "VariantName": VARIANT}


def _put(
    aws: Aws, stem: str, dimensions: dict[str, str], limits: Limits | None, topic: str | None
) -> list[str]:
    """Make the alarms whose names begin with `stem`; give these."""
    named = []
    for alarm in [_ERRORS, *(_latencies(limits) if limits else [])]:
        named.append(f"{stem}-{alarm.name}")
        aws.client("cloudwatch").put_metric_alarm(
            AlarmName=named[-1],
            **_request(dimensions, alarm, topic),
            Tags=tags.as_list(aws.project),
        )
    return named


def _request(dimensions: dict[str, str], alarm: _Alarm, topic: str | None) -> dict[str, Any]:
    return {
        "AlarmDescription": alarm.about,
        "Namespace": "AWS/SageMaker",
        "MetricName": alarm.metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        **alarm.statistic,
        "Period": 60,
        "EvaluationPeriods": alarm.minutes,
        "DatapointsToAlarm": 2,
        "Threshold": alarm.limit,
        "ComparisonOperator": "GreaterThanThreshold",
        # Nobody asked.
        "TreatMissingData": "notBreaching",
        "AlarmActions": [topic] if topic else [],
    }
