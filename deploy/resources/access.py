"""Who may do what: the execution role, and the user and policies that an administrator makes."""

import re
from collections.abc import Iterator
from typing import Any

from deploy import tags
from deploy.errors import KeptError, or_none
from deploy.policies import policy_arn
from deploy.resources import Kind, Resource
from deploy.session import Aws

_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def user_name(aws: Aws) -> str:
    """Name of the user that `iam` makes."""
    return f"{aws.project}-user"


def _find_role(aws: Aws) -> Iterator[Resource]:
    found = or_none(aws.client("iam").get_role, RoleName=aws.role_name)
    if found and tags.marks(aws.project, found["Role"].get("Tags", [])):
        yield Resource("role", aws.role_name, found["Role"]["Arn"])


def _check_alone(aws: Aws) -> None:
    """Let what all regions share be, while the project is in others: its buckets tell where.

    Raises:
        KeptError: it is.
    """
    stem = f"{aws.project}-{aws.account}-"
    names = [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]
    held = [name.removeprefix(stem) for name in names if name.startswith(stem)]
    others = [place for place in held if _REGION.fullmatch(place) and place != aws.region]
    if others:
        raise KeptError(
            f"all regions share it, and the project has a bucket in {' and '.join(others)} too: it "
            f"goes with the last, by `python -m deploy delete --region {others[-1]}`"
        )


def _remove_role(aws: Aws, resource: Resource) -> None:
    """Delete the role, unless it is needed in another region."""
    _check_alone(aws)
    client = aws.client("iam")
    pages = client.get_paginator("list_attached_role_policies").paginate(RoleName=resource.name)
    for policy in [policy for page in pages for policy in page["AttachedPolicies"]]:
        client.detach_role_policy(RoleName=resource.name, PolicyArn=policy["PolicyArn"])
    client.delete_role(RoleName=resource.name)


def _find_policies(aws: Aws) -> Iterator[Resource]:
    client = aws.client("iam")
    for part in ("user", "execution"):
        arn = policy_arn(aws, part)
        found = or_none(client.get_policy, PolicyArn=arn)
        if found and tags.marks(aws.project, found["Policy"].get("Tags", [])):
            yield Resource("policy", found["Policy"]["PolicyName"], arn)


def _remove_policy(aws: Aws, resource: Resource) -> None:
    """Delete the older versions first: a policy that has several cannot be deleted."""
    _check_alone(aws)
    client = aws.client("iam")
    remove_old_versions(client, resource.arn)
    client.delete_policy(PolicyArn=resource.arn)


def remove_old_versions(client: Any, policy: str) -> None:
    """Delete what is no longer valid of a managed policy; IAM keeps five versions at most."""
    for version in client.list_policy_versions(PolicyArn=policy)["Versions"]:
        if not version["IsDefaultVersion"]:
            client.delete_policy_version(PolicyArn=policy, VersionId=version["VersionId"])


def _find_user(aws: Aws) -> Iterator[Resource]:
    found = or_none(aws.client("iam").get_user, UserName=user_name(aws))
    if found and tags.marks(aws.project, found["User"].get("Tags", [])):
        yield Resource("user", found["User"]["UserName"], found["User"]["Arn"])


def _remove_user(aws: Aws, resource: Resource) -> None:
    """Delete the user's keys and attachments first: one that has any cannot be deleted."""
    _check_alone(aws)
    client = aws.client("iam")
    name = {"UserName": resource.name}
    for key in client.list_access_keys(**name)["AccessKeyMetadata"]:
        client.delete_access_key(**name, AccessKeyId=key["AccessKeyId"])
    for policy in client.list_attached_user_policies(**name)["AttachedPolicies"]:
        client.detach_user_policy(**name, PolicyArn=policy["PolicyArn"])
    client.delete_user(**name)


ROLE = Kind("role", _find_role, _remove_role)
POLICY = Kind("policy", _find_policies, _remove_policy)
USER = Kind("user", _find_user, _remove_user)
