"""SageMaker's resources: one row a kind, since their calls are alike."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from deploy import endpoint_life, tags
from deploy.errors import DeployError, KeptError, or_none
from deploy.resources import Kind, Resource
from deploy.session import Aws

RUNNING = ("InProgress", "Stopping", "Executing")
_POLL_SECONDS = 10.0
# A step that is stopped gets two minutes to end, and its machines some to go.
_STOP_SECONDS = 1800.0


@dataclass(frozen=True)
class _Row:
    """How the API names a kind: its fields are the stem and Name, Arn, Status."""

    kind: str
    stem: str
    listing: str
    """The call that lists them; its answer holds one list of summaries."""
    field: str
    """The list in that answer."""
    name_filter: str = "NameContains"

    def find(self, aws: Aws) -> Iterator[Resource]:
        client = aws.client("sagemaker")
        pages = client.get_paginator(self.listing).paginate(**{self.name_filter: aws.project})
        for item in (item for page in pages for item in page[self.field]):
            arn = item[f"{self.stem}Arn"]
            if tags.marks(aws.project, _tags(client, arn)):
                status = item.get(f"{self.stem}Status", "")
                costs = status in RUNNING or _is_warm(item)
                yield Resource(self.kind, item[f"{self.stem}Name"], arn, status, costs)

    def remove(self, aws: Aws, resource: Resource) -> None:
        """Call Delete; nothing but the name is asked for."""
        client = aws.client("sagemaker")
        call = client.meta.method_to_api_mapping
        delete = next(name for name, api in call.items() if api == f"Delete{self.stem}")
        getattr(client, delete)(**{f"{self.stem}Name": resource.name})


def _is_warm(item: dict[str, Any]) -> bool:
    """Whether the machines of a training job are kept for a next one."""
    return item.get("WarmPoolStatus", {}).get("Status") in ("Available", "InUse")


def _tags(client: Any, arn: str) -> list[dict[str, str]]:
    # 50 tags at most, in one page; gone where the resource was removed between the two calls.
    found: dict[str, Any] = or_none(client.list_tags, ResourceArn=arn) or {}
    return list(found.get("Tags", []))


def _stop(aws: Aws, resource: Resource, stem: str, waiter: str) -> None:
    """Stop a job that runs, and wait: a running one cannot be deleted."""
    if resource.status not in RUNNING:
        return
    client = aws.client("sagemaker")
    calls = {api: name for name, api in client.meta.method_to_api_mapping.items()}
    if resource.status == "InProgress":
        getattr(client, calls[f"Stop{stem}"])(**{f"{stem}Name": resource.name})
    client.get_waiter(waiter).wait(**{f"{stem}Name": resource.name})


def _find_endpoints(aws: Aws) -> Iterator[Resource]:
    """Find endpoints; one costs money while a machine of it runs, or may come up."""
    for endpoint in find_endpoints(aws):
        described = endpoint_life.describe(aws, endpoint.name) or {}
        variants = described.get("ProductionVariants", [])
        costs = not variants or not all(_sleeps(variant) for variant in variants)
        yield replace(endpoint, costs=costs)


def _sleeps(variant: dict[str, Any]) -> bool:
    """Whether a variant has no machine: a serverless one, or one that its queue has let go."""
    return "CurrentServerlessConfig" in variant or variant.get("CurrentInstanceCount") == 0


def _remove_endpoint(aws: Aws, resource: Resource) -> None:
    """Delete the endpoint and wait until it is gone, so that it costs nothing any more.

    One that comes up or is updated cannot be deleted before that has ended.
    """
    client = aws.client("sagemaker")
    if resource.status in endpoint_life.CHANGING and not endpoint_life.settle(aws, resource.name):
        return
    client.delete_endpoint(EndpointName=resource.name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=resource.name)


def _remove_group(aws: Aws, resource: Resource) -> None:
    """Delete the group's versions first: one that holds any cannot be deleted."""
    client = aws.client("sagemaker")
    pages = client.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=resource.name
    )
    for item in [item for page in pages for item in page["ModelPackageSummaryList"]]:
        client.delete_model_package(ModelPackageName=item["ModelPackageArn"])
    client.delete_model_package_group(ModelPackageGroupName=resource.name)


def _remove_training_job(aws: Aws, resource: Resource) -> None:
    _stop(aws, resource, "TrainingJob", "training_job_completed_or_stopped")
    _end_warm_pool(aws, resource.name)
    aws.client("sagemaker").delete_training_job(TrainingJobName=resource.name)
    _remove_streams(aws, "/aws/sagemaker/TrainingJobs", resource.name)


def _end_warm_pool(aws: Aws, name: str) -> None:
    """Let the machines go that a job keeps for a next one, and wait: it cannot be deleted before.

    They cost money for as long as they are kept.
    """
    client, asked = aws.client("sagemaker"), False
    deadline = time.monotonic() + _STOP_SECONDS
    while _is_warm(job := client.describe_training_job(TrainingJobName=name)):
        if job["WarmPoolStatus"]["Status"] == "Available" and not asked:
            keep = {"KeepAlivePeriodInSeconds": 0}
            client.update_training_job(TrainingJobName=name, ResourceConfig=keep)
            asked = True
        if time.monotonic() > deadline:
            raise DeployError("its machines are kept still, and paid: run `delete` again later")
        time.sleep(_POLL_SECONDS)


def _remove_processing_job(aws: Aws, resource: Resource) -> None:
    _stop(aws, resource, "ProcessingJob", "processing_job_completed_or_stopped")
    _PROCESSING.remove(aws, resource)
    _remove_streams(aws, "/aws/sagemaker/ProcessingJobs", resource.name)


def _remove_streams(aws: Aws, group: str, job: str) -> None:
    """Delete a job's logs: the group belongs to all jobs of the account, the streams to one."""
    client = aws.client("logs")
    named = {"logGroupName": group, "logStreamNamePrefix": f"{job}/"}
    # One stream an instance: one page holds them.
    found = or_none(client.describe_log_streams, **named) or {"logStreams": []}
    for stream in found["logStreams"]:
        client.delete_log_stream(logGroupName=group, logStreamName=stream["logStreamName"])


def _remove_tuning_job(aws: Aws, resource: Resource) -> None:
    if resource.status == "InProgress":
        aws.client("sagemaker").stop_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=resource.name
        )
    if resource.status in RUNNING:
        # There is no waiter for it; its training jobs end first.
        raise DeployError("it is stopping, which takes minutes: run `delete` again then")
    _TUNING.remove(aws, resource)


def _find_pipelines(aws: Aws) -> Iterator[Resource]:
    """Find pipelines; one costs money while something of it runs, as its steps' jobs do."""
    for pipeline in _PIPELINE.find(aws):
        runs = _executions(aws, pipeline.name)
        status = runs[0]["PipelineExecutionStatus"] if runs else ""
        yield replace(pipeline, status=status, costs=bool(runs))


def _remove_pipeline(aws: Aws, resource: Resource) -> None:
    """Stop what runs of it, wait until its steps have ended, then delete it."""
    client = aws.client("sagemaker")
    for run in _executions(aws, resource.name):
        if run["PipelineExecutionStatus"] == "Executing":
            client.stop_pipeline_execution(PipelineExecutionArn=run["PipelineExecutionArn"])
    deadline = time.monotonic() + _STOP_SECONDS
    while _executions(aws, resource.name):
        if time.monotonic() > deadline:
            raise DeployError(
                f"its steps have not stopped within {_STOP_SECONDS / 60:g} minutes: run `delete` "
                "again later"
            )
        time.sleep(_POLL_SECONDS)
    _PIPELINE.remove(aws, resource)


def _executions(aws: Aws, pipeline: str) -> list[dict[str, Any]]:
    """Give those executions of a pipeline that go on."""
    client = aws.client("sagemaker")
    pages = client.get_paginator("list_pipeline_executions").paginate(PipelineName=pipeline)
    runs = [run for page in pages for run in page["PipelineExecutionSummaries"]]
    return [run for run in runs if run["PipelineExecutionStatus"] in RUNNING]


def _keep_transform_job(aws: Aws, resource: Resource) -> None:
    """Stop it: AWS has no call that deletes one."""
    _stop(aws, resource, "TransformJob", "transform_job_completed_or_stopped")
    _remove_streams(aws, "/aws/sagemaker/TransformJobs", resource.name)
    raise KeptError("AWS has no call that deletes the record of a transform job; it costs nothing")


_ENDPOINT = _Row("endpoint", "Endpoint", "list_endpoints", "Endpoints")
_CONFIG = _Row("endpoint config", "EndpointConfig", "list_endpoint_configs", "EndpointConfigs")
_MODEL = _Row("model", "Model", "list_models", "Models")
_PIPELINE = _Row(
    "pipeline", "Pipeline", "list_pipelines", "PipelineSummaries", "PipelineNamePrefix"
)
_GROUP = _Row(
    "model package group",
    "ModelPackageGroup",
    "list_model_package_groups",
    "ModelPackageGroupSummaryList",
)
_TUNING = _Row(
    "tuning job",
    "HyperParameterTuningJob",
    "list_hyper_parameter_tuning_jobs",
    "HyperParameterTuningJobSummaries",
)
_TRAINING = _Row("training job", "TrainingJob", "list_training_jobs", "TrainingJobSummaries")
_PROCESSING = _Row(
    "processing job", "ProcessingJob", "list_processing_jobs", "ProcessingJobSummaries"
)
_TRANSFORM = _Row("transform job", "TransformJob", "list_transform_jobs", "TransformJobSummaries")

find_endpoints: Callable[[Aws], Iterator[Resource]] = _ENDPOINT.find

KINDS = [
    Kind(_ENDPOINT.kind, _find_endpoints, _remove_endpoint),
    Kind(_CONFIG.kind, _CONFIG.find, _CONFIG.remove),
    Kind(_MODEL.kind, _MODEL.find, _MODEL.remove),
    Kind(_PIPELINE.kind, _find_pipelines, _remove_pipeline),
    Kind(_GROUP.kind, _GROUP.find, _remove_group),
    Kind(_TUNING.kind, _TUNING.find, _remove_tuning_job),
    Kind(_TRAINING.kind, _TRAINING.find, _remove_training_job),
    Kind(_PROCESSING.kind, _PROCESSING.find, _remove_processing_job),
    Kind(_TRANSFORM.kind, _TRANSFORM.find, _keep_transform_job),
]
