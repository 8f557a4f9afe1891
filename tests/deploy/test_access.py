"""`delete` of what all regions share: the role, and the user and policies that `iam` makes."""

import json
import re

from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed


def test_one_that_cannot_be_removed_is_told_and_the_rest_goes(account: str) -> None:
    succeed("setup", "--yes")
    # A role that holds a policy of somebody else's cannot be deleted.
    nothing = {"Effect": "Deny", "Action": "*", "Resource": "*"}
    loopback.client("iam").put_role_policy(
        RoleName="brain-tumor-execution",
        PolicyName="somebodys",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [nothing]}),
    )
    result = deploy("delete", "--yes", "--with-user")
    assert result.exit_code == 1
    assert "kept role brain-tumor-execution: " in result.output
    assert "1 of 3 are still there" in result.output
    assert loopback.all_names() == ["brain-tumor-execution"]


def test_what_all_regions_share_stays_while_the_project_is_in_another_one(account: str) -> None:
    succeed("iam", "--yes")
    succeed("setup", "--yes")
    succeed("setup", "--yes", "--region", "eu-west-1")
    printed = succeed("delete", "--yes", "--with-user")
    shared = ("role brain-tumor-execution", "user brain-tumor-user", "policy brain-tumor-user")
    for kept in (*shared, "policy brain-tumor-execution"):
        assert re.search(rf"kept {kept}: .* a bucket in eu-west-1 too: ", printed), kept
    left = set(loopback.all_names())
    assert {"brain-tumor-execution", "brain-tumor-user"} <= left
    assert loopback.BUCKET not in left
    succeed("delete", "--yes", "--with-user", "--region", "eu-west-1")
    assert loopback.all_names() == []
