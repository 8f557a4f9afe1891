"""`iam` against moto: a user with least rights, and a key that nobody else sees."""

import configparser
import fnmatch
import json
import os
import re
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy import policies
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed, use


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
    assert "has a key already" in succeed("iam", "--yes")
    assert len(_keys()) == 1


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


def test_the_user_may_make_each_call_of_the_daily_commands(
    account: str, prepared: Path, answers: list[str]
) -> None:
    policy = policies.user_policy(Aws(None, loopback.REGION))
    allowed = [action for statement in policy["Statement"] for action in statement["Action"]]
    prefixes = {"cloudwatch-logs": "logs", "application-auto-scaling": "application-autoscaling"}
    calls = set()
    for words in (
        ["setup"],
        ["upload", prepared],
        ["train", "--image", "i", *answers],
        ["tune", "--image", "i", *answers],
        ["cost", "ml.m5.xlarge", "--live"],
        ["status"],
        ["delete"],
    ):
        calls |= set(re.findall(r"would call ([\w-]+):(\w+)", succeed(*words, "--dry-run")))
    # What needs no right, and what an administrator has made by `iam` before.
    calls -= {("sts", "GetCallerIdentity"), ("iam", "CreatePolicy")}
    assert len(calls) > 30
    for service, operation in calls:
        action = f"{prefixes.get(service, service)}:{operation}"
        assert any(fnmatch.fnmatchcase(action, pattern) for pattern in allowed), action


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
