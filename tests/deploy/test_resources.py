"""`status` and `delete` find what carries the tag, and nothing else, in all services."""

import json
import time
from typing import Any

import pytest

from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed

TAGS = [{"Key": "brain-tumor-project", "Value": "brain-tumor"}]
OTHER = [{"Key": "brain-tumor-project", "Value": "brain-tumor-2"}]
ROLE = f"arn:aws:iam::{loopback.ACCOUNT}:role/brain-tumor-execution"
IMAGE = f"{loopback.ACCOUNT}.dkr.ecr.{loopback.REGION}.amazonaws.com/brain-tumor:1"


def _make_endpoint(name: str, tags: list[dict[str, str]]) -> None:
    sagemaker = loopback.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://b/model.tar.gz"}
    sagemaker.create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=tags
    )
    variant = {
        "VariantName": "main",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.c5.large",
    }
    sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[variant], Tags=tags
    )
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=tags)
    loopback.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId=f"endpoint/{name}/variant/main",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    loopback.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{name}-5xx",
        Namespace="AWS/SageMaker",
        MetricName="Invocation5XXErrors",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
        Threshold=0,
        Tags=tags,
    )
    loopback.client("logs").create_log_group(
        logGroupName=f"/aws/sagemaker/Endpoints/{name}",
        tags={tag["Key"]: tag["Value"] for tag in tags},
    )


def _make_the_rest(name: str, tags: list[dict[str, str]]) -> None:
    sagemaker = loopback.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=tags)
    container = {"Image": IMAGE, "ModelDataUrl": "s3://b/model.tar.gz"}
    specification = {
        "Containers": [container],
        "SupportedContentTypes": ["image/png"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    sagemaker.create_model_package(ModelPackageGroupName=name, InferenceSpecification=specification)
    sagemaker.create_pipeline(
        PipelineName=name,
        PipelineDefinition=json.dumps({"Version": "2020-12-01", "Steps": []}),
        ClientRequestToken="0" * 32,
        RoleArn=ROLE,
        Tags=tags,
    )
    loopback.client("ecr").create_repository(repositoryName=name, tags=tags)


def test_after_delete_nothing_of_ours_is_left_and_all_else_is_there(account: str) -> None:
    _make_endpoint("brain-tumor-2-a", OTHER)
    _make_the_rest("brain-tumor-2", OTHER)
    others = sorted(loopback.all_names())
    assert len(others) == 9
    _make_endpoint("brain-tumor-a", TAGS)
    _make_the_rest("brain-tumor", TAGS)
    succeed("setup", "--yes")
    listed = succeed("status")
    for kind in (
        "endpoint ",
        "endpoint config",
        "model ",
        "pipeline",
        "model package group",
        "scaling target",
        "alarm",
        "log group",
        "repository",
        "bucket",
        "role",
        "policy",
    ):
        assert f"\n{kind}" in f"\n{listed}", kind
    assert listed.count("costs money by the hour") == 1
    assert "brain-tumor-2" not in listed
    succeed("delete", "--yes", "--with-user")
    assert sorted(loopback.all_names()) == others
    assert "Nothing in eu-central-1" in succeed("status")


def test_every_version_of_every_file_goes_with_the_bucket(account: str) -> None:
    succeed("setup", "--yes")
    bucket = loopback.BUCKET
    s3 = loopback.client("s3")
    for key in ("a", "b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
        s3.put_object(Bucket=bucket, Key=key, Body=b"2")
    s3.delete_object(Bucket=bucket, Key="a")
    succeed("delete", "--yes")
    assert s3.list_buckets()["Buckets"] == []


def test_a_kind_can_be_kept_and_what_an_administrator_made_is(account: str) -> None:
    succeed("setup", "--yes")
    succeed("delete", "--yes", "--keep", "bucket")
    assert sorted(loopback.all_names()) == [
        loopback.BUCKET,
        "brain-tumor-execution",
    ]


def test_a_kind_that_there_is_not_is_refused_before_anything_goes(account: str) -> None:
    succeed("setup", "--yes")
    result = deploy("delete", "--yes", "--keep", "buckets")
    assert result.exit_code == 2
    assert "'buckets' is no kind: choose of " in result.output
    assert loopback.BUCKET in loopback.all_names()


def test_while_an_endpoint_is_left_the_bucket_the_image_and_the_role_stay(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.sagemaker.exceptions import ValidationError

    succeed("setup", "--yes")
    _make_endpoint("brain-tumor-a", TAGS)
    loopback.push_image()

    def refuse(_: str) -> None:
        raise ValidationError("Cannot delete an endpoint that is being updated")

    with monkeypatch.context() as patch:
        patch.setattr(loopback.sagemaker(), "delete_endpoint", refuse)
        result = deploy("delete", "--yes", "--with-user")
    assert result.exit_code == 1
    for kind in ("role brain-tumor-execution", f"bucket {loopback.BUCKET}", "repository"):
        assert f"kept {kind}" in result.output
    left = loopback.all_names()
    assert {"brain-tumor", "brain-tumor-execution", loopback.BUCKET} <= set(left)
    succeed("delete", "--yes", "--with-user")
    assert loopback.all_names() == []


def test_an_endpoint_that_comes_up_is_waited_for_and_then_deleted(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_endpoint("brain-tumor-a", TAGS)
    endpoint = loopback.sagemaker().endpoints["brain-tumor-a"]
    endpoint.endpoint_status = "Creating"

    def come_up(_: float) -> None:
        assert "brain-tumor-a" in loopback.sagemaker().endpoints
        endpoint.endpoint_status = "InService"

    monkeypatch.setattr(time, "sleep", come_up)
    printed = succeed("delete", "--yes")
    assert "[Creating]" in printed
    assert endpoint.endpoint_status == "InService"
    assert loopback.all_names() == []


def test_a_pipeline_goes_when_its_steps_have_ended(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_the_rest("brain-tumor", TAGS)
    sagemaker = loopback.client("sagemaker")
    sagemaker.start_pipeline_execution(PipelineName="brain-tumor")
    (run,) = loopback.sagemaker().pipelines["brain-tumor"].pipeline_executions.values()
    run.pipeline_execution_status = "Stopping"
    listed = succeed("status")
    assert "Stopping  costs money by the hour" in listed

    def end(_: float) -> None:
        assert sagemaker.list_pipelines()["PipelineSummaries"]
        run.pipeline_execution_status = "Stopped"

    monkeypatch.setattr(time, "sleep", end)
    succeed("delete", "--yes")
    assert run.pipeline_execution_status == "Stopped"
    assert loopback.all_names() == []


def _make_job() -> None:
    loopback.client("sagemaker").create_training_job(
        TrainingJobName="brain-tumor-1",
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        RoleArn=ROLE,
        OutputDataConfig={"S3OutputPath": "s3://b/jobs"},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Tags=TAGS,
    )


def test_a_job_goes_once_the_machines_it_kept_are_gone(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.core.responses import EmptyResult
    from moto.sagemaker.exceptions import ValidationError
    from moto.sagemaker.responses import SageMakerResponse

    _make_job()
    pool = {"Status": "Available"}
    backend, delete = loopback.sagemaker(), SageMakerResponse.delete_training_job  # type: ignore[attr-defined]
    describe = backend.describe_training_job
    asked: list[Any] = []

    def described(name: str) -> dict[str, Any]:
        return {**describe(name), "WarmPoolStatus": pool}

    def update(response: Any) -> Any:
        asked.append(response._get_param("ResourceConfig"))
        return EmptyResult()

    def delete_without_machines(response: Any) -> Any:
        if pool["Status"] == "Available":
            raise ValidationError("The job retains an Available managed warm pool")
        return delete(response)

    def end(_: float) -> None:
        pool["Status"] = "Terminated"

    monkeypatch.setattr(backend, "describe_training_job", described)
    monkeypatch.setattr(SageMakerResponse, "update_training_job", update, raising=False)
    monkeypatch.setattr(SageMakerResponse, "delete_training_job", delete_without_machines)
    monkeypatch.setattr(time, "sleep", end)
    succeed("delete", "--yes")
    assert asked == [{"KeepAlivePeriodInSeconds": 0}]
    assert loopback.all_names() == []


@pytest.mark.parametrize(
    ("state", "paid"),
    [
        ({"TrainingJobStatus": "InProgress"}, True),
        ({"TrainingJobStatus": "Completed"}, False),
        ({"TrainingJobStatus": "Completed", "WarmPoolStatus": {"Status": "Available"}}, True),
        ({"TrainingJobStatus": "Completed", "WarmPoolStatus": {"Status": "Reused"}}, False),
    ],
)
def test_a_job_costs_while_it_runs_and_while_its_machines_are_kept(
    account: str, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], paid: bool
) -> None:
    _make_job()
    # moto's jobs have ended, and it lists no warm pools.
    listing = loopback.sagemaker().list_training_jobs

    def list_jobs(**given: Any) -> dict[str, Any]:
        (job,) = listing(**given)["TrainingJobSummaries"]
        return {"TrainingJobSummaries": [{**job, **state}]}

    monkeypatch.setattr(loopback.sagemaker(), "list_training_jobs", list_jobs)
    assert ("costs money by the hour" in succeed("status")) is paid
