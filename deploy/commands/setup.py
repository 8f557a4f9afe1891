"""`setup`: the bucket and the execution role, made or brought into their wanted state."""

from typing import Any

import click

from deploy import places, policies, tags
from deploy.errors import DeployError, or_none
from deploy.options import aws_command
from deploy.resources.access import remove_old_versions
from deploy.session import Aws

# What was overwritten or deleted can be had back for so long, and is paid for.
_KEEP_OLD_DAYS = 30
_KEEP_UNFINISHED_DAYS = 7
_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


@aws_command("setup --dry-run", "setup --region eu-central-1")
def setup(aws: Aws) -> None:
    """Make the S3 bucket and the execution role.

    What is there and differs from what is wanted is changed. The bucket: encrypted, closed to the
    public, refused without TLS, old versions and copies of scans kept for 30 days. The role: what
    SageMaker's jobs and endpoints may do, no more than the policy printed here. Neither costs
    anything while it is empty.
    """
    policy = policies.as_json(policies.execution_policy(aws))
    click.echo(f"The role {aws.role_name} may do this and nothing else:\n{policy}")
    aws.confirm(f"Make the bucket {aws.bucket} and the role {aws.role_name}?")
    make_bucket(aws)
    aws.tell(f"bucket  s3://{aws.bucket}")
    make_role(aws)
    aws.tell(f"role    {aws.role_arn}")
    aws.tell("Next: python -m deploy upload prepared")


def make_bucket(aws: Aws) -> None:
    """Make the bucket where it is missing, and set all that is wanted of it."""
    from botocore.exceptions import ClientError

    client = aws.client("s3")
    name = {"Bucket": aws.bucket}
    # The oldest region is the only one that is not named.
    place = {"LocationConstraint": aws.region} if aws.region != "us-east-1" else {}
    try:
        client.create_bucket(**name, **({"CreateBucketConfiguration": place} if place else {}))
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    bucket = name | {"ExpectedBucketOwner": aws.account}
    _mark(aws, client, bucket)
    _protect(aws, client, bucket)


def _mark(aws: Aws, client: Any, bucket: dict[str, str]) -> None:
    """Tag the bucket before all else: by its tag alone it is ours, and `delete` empties it.

    Raises:
        DeployError: it holds files and carries no such tag, so that they are somebody else's.
    """
    held = (or_none(client.get_bucket_tagging, **bucket) or {"TagSet": []})["TagSet"]
    if tags.marks(aws.project, held):
        return
    files = client.list_object_versions(**bucket, MaxKeys=1)
    if files.get("Versions") or files.get("DeleteMarkers"):
        raise _somebody_elses(f"bucket {aws.bucket}")
    others = [tag for tag in held if tag["Key"] != tags.KEY]
    tag_set = [*others, *tags.as_list(aws.project)]
    client.put_bucket_tagging(**bucket, Tagging={"TagSet": tag_set})


def _somebody_elses(what: str) -> DeployError:
    return DeployError(
        f"The {what} was not made by this program: choose another name by --project."
    )


def _protect(aws: Aws, client: Any, bucket: dict[str, str]) -> None:
    _close(client, bucket)
    encryption = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(
        **bucket, ServerSideEncryptionConfiguration={"Rules": [encryption]}
    )
    client.put_bucket_versioning(**bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_bucket_lifecycle_configuration(
        **bucket, LifecycleConfiguration={"Rules": _lifecycle()}
    )
    client.put_bucket_policy(**bucket, Policy=policies.as_json(policies.bucket_policy(aws)))


def _close(client: Any, bucket: dict[str, str]) -> None:
    """Close the bucket to the public, as a new one is: the right to do so could open it, too.

    So the user has none, and only what somebody opened is changed, by an administrator.
    """
    held = or_none(client.get_public_access_block, **bucket)
    if held is None or held["PublicAccessBlockConfiguration"] != _CLOSED:
        client.put_public_access_block(**bucket, PublicAccessBlockConfiguration=_CLOSED)


def _lifecycle() -> list[dict[str, Any]]:
    old = {
        "ID": "forget-old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "NoncurrentVersionExpiration": {"NoncurrentDays": _KEEP_OLD_DAYS},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _KEEP_UNFINISHED_DAYS},
        # What is left of a file that expired: its name.
        "Expiration": {"ExpiredObjectDeleteMarker": True},
    }
    return [old, *(_forget(prefix) for prefix in places.COPIES)]


def _forget(prefix: str) -> dict[str, Any]:
    """Make the rule by which copies of scans go, the version that is kept of them a day later."""
    return {
        "ID": f"forget-{prefix.removesuffix('/')}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
        "Expiration": {"Days": places.COPIES_DAYS},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
    }


def make_role(aws: Aws) -> None:
    """Make the role where it is missing; its policy is its permissions boundary too."""
    from botocore.exceptions import ClientError

    client = aws.client("iam")
    policy = make_policy(aws, "execution", policies.execution_policy(aws))
    trust = policies.as_json(policies.trust_policy(aws))
    try:
        client.create_role(
            RoleName=aws.role_name,
            AssumeRolePolicyDocument=trust,
            Description="SageMaker's jobs and endpoints of this project",
            PermissionsBoundary=policy,
            Tags=tags.as_list(aws.project),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityAlreadyExists":
            raise
        role = client.get_role(RoleName=aws.role_name)["Role"]
        if not tags.marks(aws.project, role.get("Tags", [])):
            raise _somebody_elses(f"role {aws.role_arn}") from None
        client.update_assume_role_policy(RoleName=aws.role_name, PolicyDocument=trust)
    client.attach_role_policy(RoleName=aws.role_name, PolicyArn=policy)
    if not aws.dry_run:
        client.get_waiter("role_exists").wait(RoleName=aws.role_name)


def make_policy(aws: Aws, part: str, policy: policies.Policy) -> str:
    """Make one of the two managed policies, or bring it up to date; give its ARN.

    Only an administrator may change it: whoever may change a role's boundary may do anything.
    """
    client = aws.client("iam")
    arn = policies.policy_arn(aws, part)
    text = policies.as_json(policy)
    found = or_none(client.get_policy, PolicyArn=arn)
    if found is None:
        name, about = arn.split("/")[-1], "Made by python -m deploy"
        client.create_policy(
            PolicyName=name, PolicyDocument=text, Description=about, Tags=tags.as_list(aws.project)
        )
    # One that says the same is right whoever made it: CloudFormation's carries no tag.
    elif _document(client, arn, found["Policy"]["DefaultVersionId"]) != policy:
        if not tags.marks(aws.project, found["Policy"].get("Tags", [])):
            raise _somebody_elses(f"policy {arn}")
        client.create_policy_version(PolicyArn=arn, PolicyDocument=text, SetAsDefault=True)
        remove_old_versions(client, arn)
    return arn


def _document(client: Any, policy: str, version: str) -> policies.Policy:
    told = client.get_policy_version(PolicyArn=policy, VersionId=version)
    document: policies.Policy = told["PolicyVersion"]["Document"]
    return document
