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


def make(
    aws: Aws, endpoint: str, *, mean_ms: float, p99_ms: float, topic: str | None = None
) -> list[str]:
    """Make an endpoint's alarms, or bring them up to date; give their names."""
    client = aws.client("cloudwatch")
    named = []
    for alarm in _alarms(mean_ms, p99_ms):
        named.append(f"{endpoint}-{alarm.name}")
        client.put_metric_alarm(
            AlarmName=named[-1], **_request(endpoint, alarm, topic), Tags=tags.as_list(aws.project)
        )
    return named


def _alarms(mean_ms: float, p99_ms: float) -> list[_Alarm]:
    # ModelLatency is in microseconds, from the request's first byte to the answer's last.
    return [
        _Alarm(
            "errors",
            "Invocation5XXErrors",
            {"Statistic": "Sum"},
            0,
            1,
            "A request failed by a fault of the container, not of the caller",
        ),
        _Alarm(
            "latency",
            "ModelLatency",
            {"Statistic": "Average"},
            mean_ms * 1000,
            2,
            f"Answers take longer than {mean_ms:g} ms on average",
        ),
        _Alarm(
            "p99",
            "ModelLatency",
            {"ExtendedStatistic": "p99"},
            p99_ms * 1000,
            2,
            f"One answer in a hundred takes longer than {p99_ms:g} ms",
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
