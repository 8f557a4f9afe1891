"""`iam` against moto: a user with least rights, and a key that nobody else sees."""

import configparser
import json
import math
import os
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result

from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed, use


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


def test_it_waits_until_aws_knows_the_new_key(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.core.exceptions import InvalidClientTokenIdError
    from moto.sts.responses import TokenResponse

    left = [1, 1]
    answer = TokenResponse.get_caller_identity

    def unknown_at_first(response: Any) -> Any:
        # The administrator's is known.
        if response.get_access_key() != os.environ["AWS_ACCESS_KEY_ID"] and left:
            left.pop()
            raise InvalidClientTokenIdError
        return answer(response)

    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(TokenResponse, "get_caller_identity", unknown_at_first)
    succeed("iam", "--yes")
    assert (left, len(slept)) == ([], 2)


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
