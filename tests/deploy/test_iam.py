"""`iam` against moto: a user with least rights, and a key that nobody else sees."""

import configparser
import fnmatch
import json
import math
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result

from deploy import alarms, policies
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed, use
from tests.jobs import ROOT


def _iam() -> Any:
    return loopback.client("iam")


def _keys() -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = _iam().list_access_keys(UserName="brain-tumor-user")[
        "AccessKeyMetadata"
    ]
    return keys


def test_the_users_key_is_in_a_profile_that_its_owner_alone_can_read_and_is_not_printed(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    path.parent.mkdir()
    path.write_text("# mine\n[default]\naws_access_key_id = mine\n")
    path.chmod(0o644)
    printed = succeed("iam", "--yes")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("# mine\n[default]\naws_access_key_id = mine\n")
    files = configparser.ConfigParser()
    files.read([path, os.environ["AWS_CONFIG_FILE"]])
    secret = files["brain-tumor"]["aws_secret_access_key"]
    assert len(secret) == 40
    assert secret not in printed
    assert files["brain-tumor"]["aws_access_key_id"] == _keys()[0]["AccessKeyId"]
    assert files["profile brain-tumor"]["region"] == loopback.REGION
    # The profile works: who asks with it is the user.
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    identity = boto3.Session(profile_name="brain-tumor").client("sts").get_caller_identity()
    assert identity["Arn"].endswith(":user/brain-tumor-user")


def test_run_again_it_makes_no_second_key(account: str) -> None:
    succeed("iam", "--yes")
    assert "has the user's key already" in succeed("iam", "--yes")
    assert len(_keys()) == 1


def test_a_key_that_is_not_the_users_is_named_and_neither_used_nor_overwritten(
    account: str,
) -> None:
    succeed("iam", "--yes")
    file = Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    succeed("delete", "--yes", "--with-user")
    before = file.read_text()
    result = deploy("iam", "--yes")
    assert result.exit_code == 1
    assert "none of brain-tumor-user" in result.output
    assert str(file) in result.output
    assert "another --new-profile" in " ".join(result.output.split())
    assert _iam().list_users()["Users"] == []
    assert file.read_text() == before
    succeed("iam", "--yes", "--new-profile", "again")
    files = configparser.ConfigParser()
    files.read(file)
    assert files["again"]["aws_access_key_id"] == _keys()[0]["AccessKeyId"]


def test_another_project_has_a_profile_of_its_own(account: str) -> None:
    succeed("iam", "--yes")
    printed = succeed("iam", "--yes", "--project", "heads")
    assert "AWS_PROFILE=heads" in printed
    files = configparser.ConfigParser()
    files.read(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    assert files.sections() == ["brain-tumor", "heads"]


def test_the_user_goes_with_delete_with_user(account: str) -> None:
    succeed("iam", "--yes")
    succeed("delete", "--yes")
    assert len(_iam().list_users()["Users"]) == 1
    succeed("delete", "--yes", "--with-user")
    assert _iam().list_users()["Users"] == []
    assert _iam().list_policies(Scope="Local")["Policies"] == []


def test_the_policy_alone_can_be_printed_as_json(account: str, tmp_path: Path) -> None:
    printed = succeed("iam", "--policy-only", "--policy-file", tmp_path / "policy.json")
    assert json.loads(printed) == json.loads((tmp_path / "policy.json").read_text())
    assert _iam().list_users()["Users"] == []


def test_a_dry_run_makes_no_user_and_writes_no_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        printed = succeed("iam", "--dry-run")
    assert asked == []
    assert "would call iam:CreateAccessKey" in printed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", [policies.user_policy, policies.execution_policy])
def test_a_policy_fits_and_names_the_projects_resources_or_says_why_not(
    account: str, make: Any
) -> None:
    policy = make(Aws(None, loopback.REGION))
    # IAM counts no white space; a managed policy has at most this many characters.
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144
    # Accepted as a policy at all.
    _iam().create_policy(PolicyName="p", PolicyDocument=json.dumps(policy))
    for statement in policy["Statement"]:
        actions = statement["Action"]
        assert statement["Effect"] == "Allow"
        if statement["Resource"] == "*":
            # What AWS cannot narrow: reading, lists, a login, or what a condition narrows.
            free = re.compile(r"\w+:(List|Describe|Get|Search)|ecr:GetAuthorizationToken")
            assert "Condition" in statement or all(map(free.match, actions)), statement
        else:
            for resource in statement["Resource"]:
                assert (
                    "brain-tumor" in resource
                    or "pipelines-" in resource
                    or (":log-group:/aws/sagemaker/" in resource)
                ), statement


# What an ARN is made of, by the parameter that names the thing.
_NAMED = {
    "sagemaker": {
        "EndpointConfigName": "endpoint-config",
        "EndpointName": "endpoint",
        "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
        "ModelName": "model",
        "ModelPackageGroupName": "model-package-group",
        "PipelineName": "pipeline",
        "TrainingJobName": "training-job",
        "TransformJobName": "transform-job",
    },
    "iam": {"RoleName": "role", "UserName": "user"},
    "ecr": {"repositoryName": "repository"},
}

# Operations of S3 whose action has another name.
_ACTIONS = {
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}


def _resource(aws: Aws, service: str, asked: dict[str, Any]) -> str:
    """Give the ARN that AWS checks a call's parameters for; `*` where they name nothing."""
    if "PolicyArn" in asked and "RoleName" not in asked:
        return str(asked["PolicyArn"])
    if "Bucket" in asked:
        return "/".join([f"arn:aws:s3:::{asked['Bucket']}", *filter(None, [asked.get("Key")])])
    if "AlarmName" in asked:
        return aws.arn("cloudwatch", f"alarm:{asked['AlarmName']}")
    if "logGroupName" in asked:
        return aws.arn("logs", f"log-group:{asked['logGroupName']}")
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
    statements = policies.user_policy(aws)["Statement"]
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
                name = loopback.SERVICES.get(service, service)
                calls.add(
                    (f"{name}:{_ACTIONS.get(operation, operation)}", _resource(aws, name, asked))
                )
    # In a dry run the policy is missing, which an administrator makes by `iam`.
    calls = {call for call in calls if call[0] not in ("sts:GetCallerIdentity", "iam:CreatePolicy")}
    assert len(calls) > 60
    refused = [call for call in calls if not any(_allows(part, *call) for part in statements)]
    assert refused == []


def test_the_role_may_ask_for_each_alarm_that_rolls_an_update_back(account: str) -> None:
    aws = Aws(None, loopback.REGION)
    endpoint, statements = "brain-tumor-endpoint", policies.execution_policy(aws)["Statement"]
    with alarms.guarding(aws, endpoint, f"{endpoint}-0a", alarms.Limits(100, 200)) as names:
        assert len(names) == 3
    for name in names:
        alarm = aws.arn("cloudwatch", f"alarm:{name}")
        assert any(_allows(part, "cloudwatch:DescribeAlarms", alarm) for part in statements)


@pytest.fixture
def guarded(account: str) -> Iterator[Any]:
    """Give a function of the number of calls after which moto asks policies who may make one."""

    def guard(after: float) -> None:
        request = urllib.request.Request(
            f"{account}/moto-api/reset-auth", str(after).encode(), {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(request, timeout=10).close()

    yield guard
    guard(math.inf)


def test_who_signs_in_by_a_portal_can_set_up_after_an_administrators_no_user(
    account: str, monkeypatch: pytest.MonkeyPatch, guarded: Any
) -> None:
    iam = _iam()
    iam.create_user(UserName="signed-in")
    policy = json.loads(succeed("iam", "--policy-only"))
    # moto judges the actions alone.
    policy["Statement"] = [
        {"Effect": "Allow", "Action": part["Action"], "Resource": "*"}
        for part in policy["Statement"]
    ]
    document = json.dumps(policy)
    iam.put_user_policy(UserName="signed-in", PolicyName="set", PolicyDocument=document)
    key = iam.create_access_key(UserName="signed-in")["AccessKey"]

    def set_up() -> Result:
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
            patch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
            guarded(0)
            result = deploy("setup", "--yes")
            guarded(math.inf)
        return result

    refused = set_up()
    assert refused.exit_code == 1
    assert "`python -m deploy iam --no-user`" in refused.output
    succeed("iam", "--no-user", "--yes")
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["signed-in"]
    made = set_up()
    assert made.exit_code == 0, made.output
    assert iam.get_role(RoleName="brain-tumor-execution")


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
