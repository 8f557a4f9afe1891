"""Alarms of an endpoint; an update is rolled back when one goes off."""

from dataclasses import dataclass
from typing import Any

from deploy import tags
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
    """One after the other above the limit; one slow minute is no fault."""
    about: str


@dataclass(frozen=True)
class Limits:
    """How long answers may take, in milliseconds."""

    mean_ms: float
    p99_ms: float


def make(aws: Aws, endpoint: str, limits: Limits | None, topic: str | None = None) -> list[str]:
    """Make an endpoint's alarms, or bring them up to date; give their names.

    Without limits errors alone are watched.
    """
    client = aws.client("cloudwatch")
    named = []
    for alarm in [_ERRORS, *(_latencies(limits) if limits else [])]:
        named.append(f"{endpoint}-{alarm.name}")
        client.put_metric_alarm(
            AlarmName=named[-1], **_request(endpoint, alarm, topic), Tags=tags.as_list(aws.project)
        )
    return named


def options(aws: Aws, endpoint: str) -> dict[str, Any]:
    """Give the options of `endpoint` of which its alarms were made."""
    names = [f"{endpoint}-{name}" for name in ("errors", "latency", "p99")]
    found = aws.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    known: dict[str, Any] = {}
    for alarm in found:
        if alarm["AlarmName"] == names[0]:
            known["topic"] = next(iter(alarm["AlarmActions"]), None)
        else:
            option = "mean_ms" if alarm["AlarmName"] == names[1] else "p99_ms"
            known[option] = alarm["Threshold"] / 1000
    return known


_ERRORS = _Alarm(
    "errors",
    "Invocation5XXErrors",
    {"Statistic": "Sum"},
    0,
    1,
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


def _request(endpoint: str, alarm: _Alarm, topic: str | None) -> dict[str, Any]:
    return {
        "AlarmDescription": alarm.about,
        "Namespace": "AWS/SageMaker",
        "MetricName": alarm.metric,
        "Dimensions": [
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": VARIANT},
        ],
        **alarm.statistic,
        "Period": 60,
        "EvaluationPeriods": alarm.minutes,
        "Threshold": alarm.limit,
        "ComparisonOperator": "GreaterThanThreshold",
        # Nobody asked.
        "TreatMissingData": "notBreaching",
        "AlarmActions": [topic] if topic else [],
    }
