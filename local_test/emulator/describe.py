"""DescribeTrainingJob's own JSON, with times as the AWS command line prints them."""

from datetime import datetime
from typing import Any

from local_test.emulator.channels import Channel
from local_test.emulator.layout import CHECKPOINTS
from local_test.emulator.record import MESSAGES, Record
from local_test.emulator.specification import ACCOUNT, TrainingJob

# The bucket that the output folder stands for.
BUCKET = "s3://emulator"
# What the API demands and nothing here depends on.
_VOLUME_GB = 30


def describe(record: Record) -> dict[str, Any]:
    """Return what DescribeTrainingJob answers for a job; fields that do not apply are left out."""
    job = record.job
    described = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        # Where it would be: the API demands it of a job that left none, too.
        "ModelArtifacts": {"S3ModelArtifacts": f"{BUCKET}/{job.name}/output/model.tar.gz"},
        "TrainingJobStatus": record.status,
        "SecondaryStatus": record.secondary_status,
        "FailureReason": record.failure,
        "HyperParameters": dict(job.hyperparameters),
        "AlgorithmSpecification": _algorithm(job),
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/emulator",
        "InputDataConfig": [_channel(channel) for channel in job.channels],
        "OutputDataConfig": {"S3OutputPath": BUCKET, "CompressionType": "GZIP"},
        "ResourceConfig": {
            "InstanceType": job.instance_type,
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": _VOLUME_GB,
        },
        "StoppingCondition": {
            "MaxRuntimeInSeconds": round(job.max_runtime),
            "MaxWaitTimeInSeconds": round(job.max_runtime) if job.spot_kill_after else None,
        },
        "CheckpointConfig": {
            "S3Uri": f"{BUCKET}/{job.name}/{CHECKPOINTS}",
            "LocalPath": f"/opt/ml/{CHECKPOINTS}",
        }
        if job.checkpoints
        else None,
        "SecondaryStatusTransitions": _transitions(record),
        "FinalMetricDataList": [
            {"MetricName": name, "Value": value, "Timestamp": timestamp(when)}
            for name, (value, when) in record.metrics.items()
        ],
        "EnableNetworkIsolation": job.isolated,
        "EnableInterContainerTrafficEncryption": False,
        "EnableManagedSpotTraining": job.spot_kill_after is not None,
        "Environment": dict(job.environment),
        **_times(record),
    }
    return {key: without_none(value) for key, value in described.items() if value is not None}


def _algorithm(job: TrainingJob) -> dict[str, Any]:
    return {
        "TrainingImage": job.image,
        "TrainingInputMode": job.channels[0].mode if job.channels else "File",
        "MetricDefinitions": [{"Name": m.name, "Regex": m.regex} for m in job.metric_definitions],
        "ContainerEntrypoint": list(job.entrypoint) or None,
        "ContainerArguments": list(job.arguments) or None,
    }


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "ChannelName": channel.name,
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": f"{BUCKET}/input/{channel.name}/",
                "S3DataDistributionType": "ShardedByS3Key"
                if channel.sharded
                else "FullyReplicated",
            }
        },
        "ContentType": channel.content_type,
        "CompressionType": "None",
        "RecordWrapperType": channel.record_wrapper,
        "InputMode": channel.mode,
    }


def _transitions(record: Record) -> list[dict[str, Any]]:
    return [
        {
            "Status": transition.status,
            "StartTime": timestamp(transition.start),
            "EndTime": timestamp(transition.end),
            "StatusMessage": record.failure
            if transition.status == "Failed"
            else MESSAGES[transition.status],
        }
        for transition in record.transitions
    ]


def _times(record: Record) -> dict[str, Any]:
    first, last = record.transitions[0].start, record.transitions[-1].start
    times: dict[str, Any] = {"CreationTime": timestamp(first), "LastModifiedTime": timestamp(last)}
    if start := record.training_start:
        # The API has no 0.
        seconds = max(1, round((last - start).total_seconds()))
        times |= {
            "TrainingStartTime": timestamp(start),
            "TrainingEndTime": timestamp(last),
            "TrainingTimeInSeconds": seconds,
            "BillableTimeInSeconds": seconds,
        }
    return times


def timestamp(when: datetime | None) -> str | None:
    """Return a time as the AWS command line prints it."""
    return when.isoformat(timespec="milliseconds") if when else None


def without_none(value: Any) -> Any:
    """Return JSON without the fields that do not apply."""
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return value
