"""The policies against what the commands call: enough for all of it, and for nothing else."""

import fnmatch
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient

from deploy import alarms, policies, watch
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed
from tests.jobs import ROOT


@pytest.mark.parametrize("make", [policies.user_policy, policies.execution_policy])
def test_a_policy_fits_and_names_the_projects_resources_or_says_why_not(
    account: str, make: Any
) -> None:
    policy = make(Aws(None, loopback.REGION))
    # IAM counts no white space; a managed policy has at most this many characters.
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144
    # Accepted as a policy at all.
    loopback.client("iam").create_policy(PolicyName="p", PolicyDocument=json.dumps(policy))
    for statement in policy["Statement"]:
        actions = statement["Action"]
        assert statement["Effect"] == "Allow"
        if statement["Resource"] == "*":
            # What AWS cannot narrow: reading, lists, a login, or what a condition narrows.
            free = re.compile(r"\w+:(List|Describe|Get|Search)|ecr:GetAuthorizationToken")
            assert "Condition" in statement or all(map(free.match, actions)), statement
        else:
            for resource in statement["Resource"]:
                # The groups of jobs' logs are shared by all of the account.
                shared = statement["Sid"] in ("WriteLogs", "FindJobLogs")
                assert "brain-tumor" in resource or shared, statement


def test_the_user_may_neither_open_the_bucket_nor_touch_what_is_others(account: str) -> None:
    aws = Aws(None, loopback.REGION)
    statements = policies.user_policy(aws)["Statement"]
    group = aws.arn("logs", "log-group:/aws/sagemaker/TrainingJobs")
    bucket = f"arn:aws:s3:::{loopback.BUCKET}"
    for action, resource in (
        ("s3:PutBucketPublicAccessBlock", bucket),
        ("s3:PutBucketAcl", bucket),
        ("s3:PutBucketReplication", bucket),
        ("logs:DeleteLogGroup", group),
        ("logs:DeleteLogStream", f"{group}:log-stream:others-1/algo-1-17"),
        ("logs:GetLogEvents", f"{group}:log-stream:others-1/algo-1-17"),
        # AWS knows it by the group alone, which all of the account shares.
        ("logs:FilterLogEvents", group),
        ("sagemaker:StopTrainingJob", aws.arn("sagemaker", "training-job/pipelines-x-Train-y")),
        ("sagemaker:Search", "*"),
        ("tag:GetResources", "*"),
        ("cloudwatch:GetMetricData", "*"),
    ):
        assert not any(_allows(part, action, resource) for part in statements), action


def test_the_role_may_make_each_job_of_the_pipeline_and_no_other_pipelines(account: str) -> None:
    aws = Aws(None, loopback.REGION)
    statements = policies.execution_policy(aws)["Statement"]

    def may(action: str, resource: str) -> bool:
        arn = aws.arn("sagemaker", resource)
        return any(_allows(part, f"sagemaker:{action}", arn) for part in statements)

    assert may("CreateProcessingJob", "processing-job/brain-tumor-prepare-x1-y2-0")
    assert may("CreateTrainingJob", "training-job/brain-tumor-train-x1-y2-0")
    assert may("CreateModelPackage", "model-package/brain-tumor-models/1")
    assert may("CreateModelPackage", "model-package-group/brain-tumor-models")
    assert not may("CreateTrainingJob", "training-job/pipelines-x1-Train-y2-0")
    assert not may("CreateEndpoint", "endpoint/brain-tumor-endpoint")


# What an ARN is made of, by the parameter that names the thing.
_NAMED = {
    "sagemaker": {
        "EndpointConfigName": "endpoint-config",
        "EndpointName": "endpoint",
        "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
        "ModelName": "model",
        "ModelPackageGroupName": "model-package-group",
        "PipelineName": "pipeline",
        "ProcessingJobName": "processing-job",
        "TrainingJobName": "training-job",
        "TransformJobName": "transform-job",
    },
    "iam": {"RoleName": "role", "UserName": "user"},
    "ecr": {"repositoryName": "repository"},
}

# Parameters that are the ARN.
_ARNS = ("ResourceArn", "resourceArn", "ResourceARN", "PipelineExecutionArn", "ModelPackageName")

# Operations of S3 whose action has another name.
_ACTIONS = {
    "DeleteObjects": "DeleteObjectVersion",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}


def _resource(aws: Aws, service: str, asked: dict[str, Any]) -> str:
    """Give the ARN that AWS checks a call's parameters for; `*` where they name nothing."""
    for name in (*_ARNS, *(["PolicyArn"] if "RoleName" not in asked else [])):
        if str(asked.get(name)).startswith("arn:"):
            return str(asked[name])
    if "Bucket" in asked:
        key = asked.get("Key") or asked.get("Delete", {"Objects": [{}]})["Objects"][0].get("Key")
        return "/".join([f"arn:aws:s3:::{asked['Bucket']}", *filter(None, [key])])
    if alarm := asked.get("AlarmName") or asked.get("AlarmNames", [None])[0]:
        return aws.arn("cloudwatch", f"alarm:{alarm}")
    if "logGroupName" in asked:
        stream = f":log-stream:{asked['logStreamName']}" if "logStreamName" in asked else ""
        return aws.arn("logs", f"log-group:{asked['logGroupName']}{stream}")
    for name, kind in _NAMED.get(service, {}).items():
        if name in asked:
            region = "" if service == "iam" else None
            return aws.arn(service, f"{kind}/{asked[name]}", region=region)
    return "*"


def _allows(statement: dict[str, Any], action: str, resource: str) -> bool:
    resources = statement["Resource"]
    return any(fnmatch.fnmatchcase(action, pattern) for pattern in statement["Action"]) and any(
        fnmatch.fnmatchcase(resource, pattern)
        for pattern in (resources if isinstance(resources, list) else [resources])
    )


def test_the_user_may_make_each_call_of_the_daily_commands_on_what_it_names(
    account: str, prepared: Path, trained: Path, answers: list[str]
) -> None:
    aws = Aws(None, loopback.REGION, dry_run=True)
    calls = set()
    for words in (
        ["setup"],
        ["upload", prepared],
        ["train", "--image", "i", *answers],
        ["tune", "--image", "i", *answers],
        ["endpoint", "--model", "brain-tumor-1", "--most-instances", 2],
        ["endpoint", "--async", "--model", trained / "model"],
        ["predict", ROOT / "local_test" / "payload.png"],
        ["transform", "--model", "brain-tumor-1", "s3://brain-tumor-ACCOUNT-eu-central-1/scans/"],
        ["register", trained],
        ["pipeline", "s3://brain-tumor-ACCOUNT-eu-central-1/scans.zip"],
        ["cost", "ml.m5.xlarge", "--live"],
        ["status"],
        ["delete"],
    ):
        printed = succeed(*words, "--dry-run")
        for service, operation in set(re.findall(r"would call ([\w-]+):(\w+)", printed)):
            for asked in loopback.parameters(printed, f"{service}:{operation}"):
                calls.add(_call(aws, service, operation, asked))
    # In a dry run nothing is there: neither the policy nor a bucket that is closed, as all are.
    calls = {call for call in calls if call[0] not in _NOT_THE_USERS}
    assert len(calls) > 60
    assert _refused(aws, calls) == []


_NOT_THE_USERS = ("sts:GetCallerIdentity", "iam:CreatePolicy", "s3:PutBucketPublicAccessBlock")


def _call(aws: Aws, service: str, operation: str, asked: dict[str, Any]) -> tuple[str, str]:
    """Give the action and the ARN by which AWS judges a call."""
    service = loopback.SERVICES.get(service, service)
    return f"{service}:{_ACTIONS.get(operation, operation)}", _resource(aws, service, asked)


def _refused(aws: Aws, calls: set[tuple[str, str]]) -> list[tuple[str, str]]:
    statements = policies.user_policy(aws)["Statement"]
    return [call for call in calls if not any(_allows(part, *call) for part in statements)]


def test_the_user_may_make_each_call_on_what_is_there_too(
    account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    aws = Aws(None, loopback.REGION)
    calls = set()
    make = BaseClient._make_api_call

    def record(client: Any, operation: str, asked: dict[str, Any]) -> Any:
        name = client.meta.service_model.service_id.hyphenize()
        calls.add(_call(aws, name, operation, asked))
        return make(client, operation, asked)

    def noting(done: Callable[..., object], *words: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", record)
            done(*words)

    run = functools.partial(noting, succeed)

    succeed("setup", "--yes")
    loopback.push_image()
    model = ("--model", f"s3://{loopback.BUCKET}/models/a/model.tar.gz")
    run("setup", "--yes")
    run("endpoint", "--yes", *model, "--most-instances", 2)
    run("endpoint", "--yes", "--update", *model, "--instances", 2, "--most-instances", 3)
    run("transform", "--yes", *model, f"s3://{loopback.BUCKET}/scans/", "--out", tmp_path)
    run("pipeline", "--yes", f"s3://{loopback.BUCKET}/scans.zip")
    _leave_jobs()
    noting(watch.show_end, aws, watch.GROUP, "brain-tumor-train-x1/")
    endpoint = "/aws/sagemaker/Endpoints/brain-tumor-endpoint"
    loopback.log(endpoint, "main/i-0abc", "a line")
    noting(watch.show_end, aws, endpoint, "main/")
    loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key="scans/a.png", Body=b"1")
    run("status")
    run("delete", "--yes")
    assert not {loopback.BUCKET, "brain-tumor-train-x1"} & set(loopback.all_names())
    made = {"logs:DeleteLogStream", "logs:GetLogEvents", "s3:DeleteObjectVersion"}
    assert made <= {action for action, _ in calls}
    calls = {call for call in calls if call[0] not in _NOT_THE_USERS}
    assert len(calls) > 60
    assert _refused(aws, calls) == []


def _leave_jobs() -> None:
    """Make a training job and a processing job with their logs, as a pipeline's steps do."""
    sagemaker, tags = (
        loopback.client("sagemaker"),
        [{"Key": "brain-tumor-project", "Value": "brain-tumor"}],
    )
    role = f"arn:aws:iam::{loopback.ACCOUNT}:role/brain-tumor-execution"
    machine = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    sagemaker.create_training_job(
        TrainingJobName="brain-tumor-train-x1",
        AlgorithmSpecification={"TrainingImage": "i", "TrainingInputMode": "File"},
        RoleArn=role,
        OutputDataConfig={"S3OutputPath": f"s3://{loopback.BUCKET}/jobs"},
        ResourceConfig=machine,
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        Tags=tags,
    )
    sagemaker.create_processing_job(
        ProcessingJobName="brain-tumor-prepare-x1",
        AppSpecification={"ImageUri": "i"},
        ProcessingResources={"ClusterConfig": machine},
        RoleArn=role,
        Tags=tags,
    )
    for group, job in (("TrainingJobs", "train"), ("ProcessingJobs", "prepare")):
        loopback.log(f"/aws/sagemaker/{group}", f"brain-tumor-{job}-x1/algo-1-17", "a line")


def test_the_role_may_ask_for_each_alarm_that_rolls_an_update_back(account: str) -> None:
    aws = Aws(None, loopback.REGION)
    endpoint, statements = "brain-tumor-endpoint", policies.execution_policy(aws)["Statement"]
    with alarms.guarding(aws, endpoint, f"{endpoint}-0a", alarms.Limits(100, 200)) as names:
        assert len(names) == 3
    for name in names:
        alarm = aws.arn("cloudwatch", f"alarm:{name}")
        assert any(_allows(part, "cloudwatch:DescribeAlarms", alarm) for part in statements)


def test_the_user_cannot_widen_the_role_it_hands_to_sagemaker(account: str) -> None:
    statements = policies.user_policy(Aws(None, loopback.REGION))["Statement"]
    for statement in statements:
        for action in statement["Action"]:
            assert action not in ("*", "iam:*", "iam:PutRolePolicy", "iam:CreatePolicyVersion")
            assert not action.startswith("iam:DeleteRolePermissionsBoundary")
            if action in ("iam:CreateRole", "iam:AttachRolePolicy"):
                assert "iam:PermissionsBoundary" in statement["Condition"]["StringEquals"]
            if action == "iam:PassRole":
                assert statement["Condition"]["StringEquals"] == {
                    "iam:PassedToService": "sagemaker.amazonaws.com"
                }
