"""`setup`, against moto over HTTP and against a server that refuses all."""

import json
from pathlib import Path

import pytest

from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed, use

BUCKET = loopback.BUCKET
ROLE = "brain-tumor-execution"


def test_setup_makes_a_bucket_that_is_encrypted_closed_and_versioned(account: str) -> None:
    assert BUCKET in succeed("setup", "--yes")
    s3 = loopback.client("s3")
    block = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert all(block.values())
    assert len(block) == 4
    rules = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == loopback.REGION
    lifecycle, *_ = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert lifecycle["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    (statement,) = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_copies_of_scans_are_forgotten_and_nothing_else_is(account: str) -> None:
    succeed("setup", "--yes")
    rules = loopback.client("s3").get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    days = {
        rule["Filter"]["Prefix"]: rule["Expiration"]["Days"]
        for rule in rules
        if "Days" in rule.get("Expiration", {})
    }
    assert days == {"async/": 30, "transforms/": 30, "pipeline-scans/": 30}
    # The version that an expired file leaves goes a day later, not a month.
    kept = [rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules]
    assert kept == [30, 1, 1, 1]


def test_the_role_is_sagemakers_alone_and_cannot_be_widened(account: str) -> None:
    printed = succeed("setup", "--yes")
    role = loopback.client("iam").get_role(RoleName=ROLE)["Role"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": loopback.ACCOUNT}}
    policy = f"arn:aws:iam::{loopback.ACCOUNT}:policy/{ROLE}"
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == policy
    (attached,) = loopback.client("iam").list_attached_role_policies(RoleName=ROLE)[
        "AttachedPolicies"
    ]
    assert attached["PolicyArn"] == policy
    # What was printed for review is what was made.
    version = loopback.client("iam").get_policy_version(PolicyArn=policy, VersionId="v1")
    document = version["PolicyVersion"]["Document"]
    assert json.dumps(document, indent=2) in printed


def test_setup_can_run_again_and_mends_what_was_changed(account: str) -> None:
    succeed("setup", "--yes")
    s3, iam = loopback.client("s3"), loopback.client("iam")
    s3.delete_public_access_block(Bucket=BUCKET)
    policy = f"arn:aws:iam::{loopback.ACCOUNT}:policy/{ROLE}"
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    wide = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=wide, SetAsDefault=True)
    succeed("setup", "--yes")
    assert s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    default = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=policy, VersionId=default)["PolicyVersion"]
    assert everything not in document["Document"]["Statement"]


def test_a_dry_run_prints_every_call_and_makes_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        printed = succeed("setup", "--dry-run")
    assert asked == []
    (bucket,) = loopback.parameters(printed, "s3:CreateBucket")
    assert bucket["Bucket"] == f"brain-tumor-ACCOUNT-{loopback.REGION}"
    (role,) = loopback.parameters(printed, "iam:CreateRole")
    assert role["RoleName"] == ROLE
    assert role["Tags"] == [{"Key": "brain-tumor-project", "Value": "brain-tumor"}]


def test_a_policy_of_that_name_that_is_not_ours_is_left_alone(account: str) -> None:
    wide = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}],
    }
    loopback.client("iam").create_policy(PolicyName=ROLE, PolicyDocument=json.dumps(wide))
    result = deploy("setup", "--yes")
    assert result.exit_code == 1
    assert "was not made by this program" in result.output


def test_a_bucket_of_that_name_that_is_not_ours_keeps_its_settings_and_its_files(
    account: str,
) -> None:
    s3 = loopback.client("s3")
    place = {"LocationConstraint": loopback.REGION}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    tagging = {"TagSet": [{"Key": "team", "Value": "radiology"}]}
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging=tagging)
    s3.put_object(Bucket=BUCKET, Key="theirs", Body=b"1")
    result = deploy("setup", "--yes")
    assert result.exit_code == 1
    assert f"The bucket {BUCKET} was not made by this program" in result.output
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == tagging["TagSet"]
    assert "Status" not in s3.get_bucket_versioning(Bucket=BUCKET)
    assert "Nothing to delete" in succeed("delete", "--yes")
    assert s3.get_object(Bucket=BUCKET, Key="theirs")["Body"].read() == b"1"


def test_an_empty_bucket_is_taken_and_keeps_the_tags_that_others_gave_it(account: str) -> None:
    s3 = loopback.client("s3")
    place = {"LocationConstraint": loopback.REGION}
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place)
    team = {"Key": "team", "Value": "radiology"}
    s3.put_bucket_tagging(Bucket=BUCKET, Tagging={"TagSet": [team]})
    succeed("setup", "--yes")
    ours = {"Key": "brain-tumor-project", "Value": "brain-tumor"}
    assert s3.get_bucket_tagging(Bucket=BUCKET)["TagSet"] == [team, ours]


def test_a_role_of_that_name_that_is_not_ours_is_left_alone(account: str) -> None:
    iam = loopback.client("iam")
    theirs = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}}
    trust = {"Version": "2012-10-17", "Statement": [theirs | {"Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    result = deploy("setup", "--yes")
    assert result.exit_code == 1
    assert f"role/{ROLE} was not made by this program" in result.output
    assert iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"] == trust
    assert iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"] == []
