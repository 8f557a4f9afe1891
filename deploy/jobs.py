"""Training jobs as the API takes them: one job, or each job of a tuning."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy import prices, tags
from deploy.commands.upload import CHANNELS, channel_prefix
from deploy.errors import DeployError, or_none
from deploy.session import Aws


@dataclass(frozen=True)
class Job:
    """What a person chose for a training job."""

    image: str
    instance_type: str
    instance_count: int = 1
    volume_gb: int = 30
    minutes: int = 60
    """For how long it may run; then it is stopped, and its best model so far is kept."""
    spot: bool = False
    wait_minutes: int = 120
    """For how long it may wait for spot instances, its own time included."""
    keep_alive_minutes: int = 0
    """For how long the machines are kept for a next job, and paid."""
    isolation: bool = True
    input_mode: str = "File"
    sharded: bool = False
    hyperparameters: dict[str, str] = field(default_factory=dict)
    metrics: list[dict[str, str]] = field(default_factory=list)
    channels: dict[str, str] = field(default_factory=dict)
    """S3 prefix of each channel."""

    def __post_init__(self) -> None:
        if self.spot and self.keep_alive_minutes:
            raise DeployError("Spot instances cannot be kept: leave out --keep-alive or --spot.")
        if self.spot and self.wait_minutes < self.minutes:
            raise DeployError(
                f"--wait-minutes {self.wait_minutes} is less than --minutes {self.minutes}: the "
                "time for waiting includes that for running."
            )

    def cost(self, aws: Aws, times: int = 1) -> str:
        """Say what so many of it cost at most, the time included for which machines are kept."""
        hours = (self.minutes + self.keep_alive_minutes) * times / 60
        told = prices.sentence(aws, self.instance_type, self.instance_count, hours)
        kept = f" The machines are kept, and paid, for {self.keep_alive_minutes} minutes more."
        return told + (kept if self.keep_alive_minutes else "")


def find_channels(aws: Aws) -> dict[str, str]:
    """Give the S3 prefix of each channel that the bucket holds; SageMaker refuses an empty one.

    Raises:
        DeployError: there is nothing to train on.
    """
    client = aws.client("s3")
    found = {}
    for channel in CHANNELS:
        listed = client.list_objects_v2(
            Bucket=aws.bucket, Prefix=channel_prefix(channel), MaxKeys=1
        )
        if listed.get("Contents") or aws.dry_run:
            found[channel] = f"s3://{aws.bucket}/{channel_prefix(channel)}"
    if "train" not in found:
        raise DeployError(
            f"s3://{aws.bucket} holds no scans to train on: run `python -m deploy upload prepared`."
        )
    return found


def training_request(aws: Aws, name: str, job: Job, checkpoints: str) -> dict[str, Any]:
    """Make the parameters of CreateTrainingJob.

    It goes on from the checkpoints of the job that `checkpoints` names, or of its own.
    """
    request = definition(aws, job)
    # The console draws them as curves.
    request["AlgorithmSpecification"]["EnableSageMakerMetricsTimeSeries"] = bool(job.metrics)
    return {
        "TrainingJobName": name,
        **request,
        "HyperParameters": job.hyperparameters,
        "CheckpointConfig": {"S3Uri": f"s3://{aws.bucket}/checkpoints/{checkpoints}"},
        "Tags": tags.as_list(aws.project),
    }


def start(aws: Aws, request: dict[str, Any]) -> None:
    """Start a training job by SageMaker's SDK v3, in the call in which its ModelTrainer ends too.

    ModelTrainer itself appends the time to a job's name, and starts the image without `train` in
    local mode: docs/aws.md tells what was tried, and how it starts the same job.
    """
    # Here, since it takes 3 s: every other command starts without it.
    from sagemaker.core.resources import TrainingJob
    from sagemaker.core.utils.code_injection.codec import transform

    own = transform(request, "CreateTrainingJobRequest")
    create = functools.partial(TrainingJob.create, session=aws.session, region=aws.region, **own)
    # It describes what it has made, and in a dry run nothing is.
    or_none(create) if aws.dry_run else create()


def definition(aws: Aws, job: Job) -> dict[str, Any]:
    """Make what CreateTrainingJob and CreateHyperParameterTuningJob have in common."""
    algorithm = {
        "TrainingImage": job.image,
        "TrainingInputMode": job.input_mode,
        "MetricDefinitions": job.metrics,
    }
    machines = {
        "InstanceType": job.instance_type,
        "InstanceCount": job.instance_count,
        "VolumeSizeInGB": job.volume_gb,
    }
    if job.keep_alive_minutes:
        machines["KeepAlivePeriodInSeconds"] = 60 * job.keep_alive_minutes
    stopping = {"MaxRuntimeInSeconds": 60 * job.minutes}
    if job.spot:
        stopping["MaxWaitTimeInSeconds"] = 60 * job.wait_minutes
    return {
        "RoleArn": aws.role_arn,
        "AlgorithmSpecification": algorithm,
        "InputDataConfig": channels(job.channels, sharded=job.sharded),
        "OutputDataConfig": {"S3OutputPath": f"s3://{aws.bucket}/jobs"},
        "ResourceConfig": machines,
        "StoppingCondition": stopping,
        "EnableNetworkIsolation": job.isolation,
        "EnableManagedSpotTraining": job.spot,
    }


def channels(uris: Mapping[str, Any], *, sharded: bool) -> list[dict[str, Any]]:
    """Make InputDataConfig of the URI of each channel, or of what gives it in a pipeline."""
    made = []
    for name, uri in uris.items():
        # Validation and test are the same on every machine; only training is shared out.
        shared_out = sharded and name == "train"
        source = {
            "S3DataType": "S3Prefix",
            "S3Uri": uri,
            "S3DataDistributionType": "ShardedByS3Key" if shared_out else "FullyReplicated",
        }
        made.append({"ChannelName": name, "DataSource": {"S3DataSource": source}})
    return made
