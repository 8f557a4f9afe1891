"""deploy/cloudformation: clean to cfn-lint, right to botocore, and made and deleted by moto."""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from cfnlint.decode import cfn_yaml
from moto import mock_aws

from deploy import policies
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed
from tests.jobs import BIN, ROOT

FILES = ROOT / "deploy/cloudformation"
TEMPLATE = FILES / "brain_tumor.yaml"
PEOPLE = FILES / "people.yaml"
ACCOUNT = "123456789012"
REGION = "eu-central-1"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/brain-tumor@sha256:" + 64 * "a"
MODEL = f"s3://brain-tumor-{ACCOUNT}-{REGION}/output/job/output/model.tar.gz"
_PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::NoValue": None,
}


def _load(file: Path) -> dict[str, Any]:
    """Read a template, its short forms written out."""
    return json.loads(json.dumps(cfn_yaml.load(str(file))))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    """Give the template of the project."""
    return _load(TEMPLATE)


def _resolve(template: dict[str, Any], value: Any) -> Any:
    """Put in what CloudFormation would, with the default parameters; attributes are left names."""
    names = {name: default["Default"] for name, default in template["Parameters"].items()}
    names |= _PSEUDO
    if isinstance(value, list):
        return [_resolve(template, item) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Ref"}:
        return names.get(value["Ref"], value["Ref"])
    if set(value) == {"Fn::GetAtt"}:
        return "the-attribute-" + "-".join(value["Fn::GetAtt"])
    if set(value) == {"Fn::Sub"}:
        attribute = "the-attribute-{}".format
        return re.sub(
            r"\$\{(.+?)\}",
            lambda found: str(names.get(found[1], attribute(found[1].replace(".", "-")))),
            value["Fn::Sub"],
        )
    if set(value) == {"Fn::If"}:
        return _resolve(template, value["Fn::If"][2])
    resolved = {key: _resolve(template, item) for key, item in value.items()}
    return {key: item for key, item in resolved.items() if item is not None}


def test_cfn_lint_finds_nothing_to_say() -> None:
    done = subprocess.run([BIN / "cfn-lint", TEMPLATE, PEOPLE], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("resource", "service", "operation", "added"),
    [
        ("Model", "sagemaker", "CreateModel", {"ModelName": "m"}),
        ("EndpointConfig", "sagemaker", "CreateEndpointConfig", {"EndpointConfigName": "c"}),
        ("ModelPackageGroup", "sagemaker", "CreateModelPackageGroup", {}),
        ("ScalingTarget", "application-autoscaling", "RegisterScalableTarget", {}),
        ("ErrorAlarm", "cloudwatch", "PutMetricAlarm", {}),
        ("LatencyAlarm", "cloudwatch", "PutMetricAlarm", {}),
        ("NewErrorAlarm", "cloudwatch", "PutMetricAlarm", {}),
        ("NewLatencyAlarm", "cloudwatch", "PutMetricAlarm", {}),
    ],
)
def test_every_property_is_one_that_the_services_api_takes(
    template: dict[str, Any], resource: str, service: str, operation: str, added: dict[str, str]
) -> None:
    properties = _resolve(template, template["Resources"][resource]["Properties"])
    shape = botocore.session.get_session().get_service_model(service)
    wanted = shape.operation_model(operation).input_shape
    report = ParamValidator().validate({**properties, **added}, wanted)
    assert not report.has_errors(), report.generate_report()
    assert set(properties) <= set(wanted.members)


def test_the_role_may_do_what_the_command_lines_role_may_and_no_more(
    template: dict[str, Any],
) -> None:
    aws = Aws(None, REGION)
    aws.__dict__["account"] = ACCOUNT
    role = _resolve(template, template["Resources"]["Role"]["Properties"])
    assert role["RoleName"] == aws.role_name
    assert role["AssumeRolePolicyDocument"] == policies.trust_policy(aws)
    policy = template["Resources"]["Policy"]["Properties"]
    assert _resolve(template, policy["PolicyDocument"]) == policies.execution_policy(aws)
    # `delete` can take away none that are written into the role.
    assert "Policies" not in role


def test_the_people_may_do_what_the_command_lines_user_may_and_no_more() -> None:
    aws = Aws(None, REGION)
    aws.__dict__["account"] = ACCOUNT
    people = _load(PEOPLE)
    policy = people["Resources"]["Policy"]["Properties"]
    assert _resolve(people, policy["PolicyDocument"]) == policies.user_policy(aws)
    assert policies.policy_arn(aws, "user").endswith(
        f":policy/{_resolve(people, policy['ManagedPolicyName'])}"
    )


def test_the_endpoint_and_what_watches_it_have_the_command_lines_names(
    template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    printed = succeed("endpoint", "--most-instances", "2", "--dry-run")

    def calls(call: str, *fields: str) -> list[list[Any]]:
        return [[made[field] for field in fields] for made in loopback.parameters(printed, call)]

    def has(resource: str, *fields: str) -> list[Any]:
        properties = _resolve(template, template["Resources"][resource]["Properties"])
        return [properties[field] for field in fields]

    target, alarm = ("ResourceId", "ScalableDimension"), ("AlarmName", "Dimensions")
    assert has("Endpoint", "EndpointName") in calls("sagemaker:CreateEndpoint", "EndpointName")
    assert has("EndpointLogs", "LogGroupName") in calls(
        "cloudwatch-logs:CreateLogGroup", "logGroupName"
    )
    assert has("ScalingTarget", *target) in calls(
        "application-auto-scaling:RegisterScalableTarget", *target
    )
    assert has("ScalingPolicy", "PolicyName") in calls(
        "application-auto-scaling:PutScalingPolicy", "PolicyName"
    )
    for resource in ("ErrorAlarm", "LatencyAlarm"):
        assert has(resource, *alarm) in calls("cloudwatch:PutMetricAlarm", *alarm)
    (variants,) = calls("sagemaker:CreateEndpointConfig", "ProductionVariants")[0]
    assert (
        has("EndpointConfig", "ProductionVariants")[0][0]["VariantName"]
        == (variants[0]["VariantName"])
    )


def test_an_update_is_rolled_back_by_the_new_machines_alone_as_on_the_command_line(
    template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    resources = template["Resources"]
    deployment = resources["Endpoint"]["Properties"]["DeploymentConfig"]
    watched = deployment["AutoRollbackConfiguration"]["Alarms"]
    assert [item["AlarmName"]["Ref"] for item in watched] == ["NewErrorAlarm", "NewLatencyAlarm"]
    own = resources["Endpoint"]["Properties"]["EndpointConfigName"]
    dimension = {"Name": "EndpointConfigName", "Value": own}
    for lasting in ("ErrorAlarm", "LatencyAlarm"):
        old, new = (resources[name]["Properties"] for name in (lasting, f"New{lasting}"))
        assert new["Dimensions"] == [*old["Dimensions"], dimension]
        for field in ("MetricName", "Threshold", "EvaluationPeriods", "DatapointsToAlarm"):
            assert old[field] == new[field]
        # One that stayed would keep its state, and could end the next update at once.
        for name, kind in zip(new["AlarmName"]["Fn::If"][1:], own["Fn::If"][1:], strict=True):
            begins = f"brain-tumor-endpoint-{_resolve(template, kind)}-"
            assert _resolve(template, name).startswith(begins)
    metrics = resources["EndpointConfig"]["Properties"]["MetricsConfig"]
    (made,) = loopback.parameters(
        succeed("endpoint", "--dry-run"), "sagemaker:CreateEndpointConfig"
    )
    assert metrics == made["MetricsConfig"]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give CloudFormation's client of an empty account."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield boto3.client("cloudformation")


def _create(client: Any, **parameters: str) -> dict[str, str]:
    """Make the stack; give the resources that moto knows how to make, by their logical names."""
    client.create_stack(
        StackName="brain-tumor",
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
    )
    made = client.list_stack_resources(StackName="brain-tumor")["StackResourceSummaries"]
    return {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in made
        if resource["LogicalResourceId"]
    }


# moto has no bucket policies, groups of models, alarms and autoscaling in CloudFormation, and says
# so.
@pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_stack_without_a_model_has_an_encrypted_bucket_a_registry_and_a_role_and_no_endpoint(
    client: Any,
) -> None:
    made = _create(client)
    assert set(made) == {"Bucket", "Repository", "Policy", "Role"}
    aws = Aws(None, REGION)
    bucket = made["Bucket"]
    assert bucket == aws.bucket
    asked = boto3.client("s3").get_bucket_encryption(Bucket=bucket)
    encrypted = asked["ServerSideEncryptionConfiguration"]
    assert encrypted["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (repository,) = boto3.client("ecr").describe_repositories()["repositories"]
    assert repository["repositoryName"] == "brain-tumor"


@pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_with_image_and_model_there_is_an_endpoint_which_goes_with_the_stack(client: Any) -> None:
    made = _create(client, ImageUri=IMAGE, ModelDataUrl=MODEL)
    sagemaker = boto3.client("sagemaker")
    (model,) = sagemaker.list_models()["Models"]
    described = sagemaker.describe_model(ModelName=model["ModelName"])
    assert described["PrimaryContainer"]["Image"] == IMAGE
    assert described["PrimaryContainer"]["ModelDataUrl"] == MODEL
    assert described["ExecutionRoleArn"].endswith(":role/brain-tumor-execution")
    assert len(sagemaker.list_endpoints()["Endpoints"]) == 1
    (group,) = boto3.client("logs").describe_log_groups()["logGroups"]
    assert group["retentionInDays"] == 30
    assert {"Model", "EndpointConfig", "Endpoint", "EndpointLogs"} <= set(made)
    client.delete_stack(StackName="brain-tumor")
    assert sagemaker.list_endpoints()["Endpoints"] == []
    assert sagemaker.list_models()["Models"] == []
    assert boto3.client("iam").list_roles()["Roles"] == []


@pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_with_memory_for_it_the_endpoint_is_serverless(client: Any) -> None:
    made = _create(client, ImageUri=IMAGE, ModelDataUrl=MODEL, ServerlessMemoryMB="3072")
    sagemaker = boto3.client("sagemaker")
    (config,) = sagemaker.list_endpoint_configs()["EndpointConfigs"]
    described = sagemaker.describe_endpoint_config(EndpointConfigName=config["EndpointConfigName"])
    (variant,) = described["ProductionVariants"]
    assert variant["ServerlessConfig"] == {"MemorySizeInMB": 3072, "MaxConcurrency": 5}
    assert "InstanceType" not in variant
    (model,) = sagemaker.list_models()["Models"]
    assert not sagemaker.describe_model(ModelName=model["ModelName"])["EnableNetworkIsolation"]
    assert not {"ScalingTarget", "ScalingPolicy", "EndpointConfig"} & set(made)


@pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_commands_find_what_a_stack_made_and_the_policy_that_they_want(client: Any) -> None:
    _create(client, ImageUri=IMAGE, ModelDataUrl=MODEL)
    listed = succeed("status")
    # moto gives an endpoint a name of its own.
    for kind in (
        "endpoint",
        "endpoint config",
        "model",
        "log group",
        "repository",
        "bucket",
        "role",
    ):
        assert re.search(rf"^{kind} +\S*brain-tumor", listed, re.MULTILINE), listed
    policy = f"arn:aws:iam::{ACCOUNT}:policy/brain-tumor-execution"
    role = boto3.client("iam").get_role(RoleName="brain-tumor-execution")["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == policy
    succeed("setup", "--yes")
    versions = boto3.client("iam").list_policy_versions(PolicyArn=policy)["Versions"]
    assert [version["VersionId"] for version in versions] == ["v1"]


def test_scans_images_and_registered_models_outlive_the_stack(template: dict[str, Any]) -> None:
    for name in ("Bucket", "Repository", "ModelPackageGroup"):
        resource = template["Resources"][name]
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_old_files_and_images_are_kept_for_as_long_as_the_command_line_keeps_them(
    template: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    bucket = template["Resources"]["Bucket"]["Properties"]
    (put,) = loopback.parameters(setup := succeed("setup", "--dry-run"), "s3:PutBucketVersioning")
    assert bucket["VersioningConfiguration"] == put["VersioningConfiguration"]
    (put,) = loopback.parameters(setup, "s3:PutBucketLifecycleConfiguration")
    rules = [_flat(rule) for rule in put["LifecycleConfiguration"]["Rules"]]
    assert bucket["LifecycleConfiguration"]["Rules"] == rules
    printed = subprocess.run(
        [ROOT / "build_and_push.sh", "brain-tumor", "--dry-run"], capture_output=True, text=True
    ).stdout
    (line,) = [line for line in printed.splitlines() if "put-lifecycle-policy" in line]
    words = shlex.split(line)
    pushed = json.loads(words[words.index("--lifecycle-policy-text") + 1])
    held = template["Resources"]["Repository"]["Properties"]["LifecyclePolicy"]
    assert json.loads(held["LifecyclePolicyText"]) == pushed


def _flat(rule: dict[str, Any]) -> dict[str, Any]:
    """Write a rule of S3's API as CloudFormation has it."""
    expires = rule.pop("Expiration")
    prefix = rule.pop("Filter")["Prefix"]
    names = {"Days": "ExpirationInDays", "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker"}
    return {
        "Id": rule.pop("ID"),
        **rule,
        **({"Prefix": prefix} if prefix else {}),
        **{names[name]: value for name, value in expires.items()},
    }


def test_the_bucket_is_closed_to_the_world_and_to_what_does_not_come_by_tls(
    template: dict[str, Any],
) -> None:
    blocked = template["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]
    assert len(blocked) == 4
    assert set(blocked.values()) == {True}
    policy = template["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]
    (statement,) = policy["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
