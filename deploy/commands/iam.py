"""`iam`: an administrator's one step: a user that may do this work alone, and its key."""

import time
from pathlib import Path

import click

from deploy import credentials, policies, tags
from deploy.commands.setup import make_policy
from deploy.errors import DeployError, or_none
from deploy.options import aws_command
from deploy.resources.access import user_name
from deploy.session import Aws

_KNOWN_SECONDS = 60.0
_POLL_SECONDS = 2.0
_HINT = """Does your company sign in by a portal (IAM Identity Center, SSO)? Then make no user:
put the policy into a permission set (`iam --policy-only`), make the execution role's policy
(`iam --no-user`), and run `aws configure sso`."""


@aws_command(
    "iam --policy-only --profile admin > policy.json",
    "iam --profile admin --new-profile brain-tumor",
    "iam --profile admin --no-user",
    name="iam",
)
@click.option("--policy-only", is_flag=True, help="Print the user's policy as JSON; make nothing.")
@click.option(
    "--user/--no-user", default=True, help="Make a user, or the execution role's policy alone."
)
@click.option(
    "--new-profile",
    help="Profile of ~/.aws into which the user's key is written. [default: the project]",
)
@click.option("--policy-file", type=click.Path(path_type=Path), help="Write the policy here too.")
def iam(
    aws: Aws, policy_only: bool, user: bool, new_profile: str | None, policy_file: Path | None
) -> None:
    """Make a user with the least rights for this work, and its key.

    An administrator runs it once (--profile). The policy names the project's own resources and is
    printed for review. The key goes into a profile of ~/.aws, readable by you alone, and is shown
    nowhere. It makes the execution role's policy too, which the user may use but not change. Run it
    again after an update of this program: `setup` refuses a policy of another version.
    """
    policy = policies.as_json(policies.user_policy(aws))
    if policy_file:
        policy_file.write_text(policy)
    click.echo(policy)
    if policy_only:
        return
    if not user:
        _make_execution_policy(aws)
        return
    click.echo(_HINT)
    profile = new_profile or aws.project
    has_key = _has_key(aws, profile)
    aws.confirm(f"Make the user {user_name(aws)}, who may do this and nothing else?")
    make_policy(aws, "execution", policies.execution_policy(aws))
    make_user(aws, make_policy(aws, "user", policies.user_policy(aws)))
    if has_key:
        click.echo(f"The profile {profile} has the user's key already; no other was made.")
    else:
        _write_key(aws, profile)
    aws.tell(f"Next: export AWS_PROFILE={profile}; python -m deploy setup")


def _make_execution_policy(aws: Aws) -> None:
    aws.confirm(f"Make the policy {policies.policy_arn(aws, 'execution')}?")
    aws.tell(f"made {make_policy(aws, 'execution', policies.execution_policy(aws))}")
    aws.tell("Next: who has the policy above runs python -m deploy setup")


def make_user(aws: Aws, policy_arn: str) -> None:
    """Make the user where it is missing, and give it the policy."""
    from botocore.exceptions import ClientError

    client = aws.client("iam")
    try:
        client.create_user(UserName=user_name(aws), Tags=tags.as_list(aws.project))
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityAlreadyExists":
            raise
    client.attach_user_policy(UserName=user_name(aws), PolicyArn=policy_arn)


def _has_key(aws: Aws, profile: str) -> bool:
    """Whether a profile has a key of the user.

    Raises:
        DeployError: it has another, perhaps of a user that was deleted; it is left as it is.
    """
    held = credentials.key_id(profile)
    if held is None or aws.dry_run:
        return False
    told = or_none(aws.client("iam").list_access_keys, UserName=user_name(aws))
    keys = [key["AccessKeyId"] for key in told["AccessKeyMetadata"]] if told else []
    if held not in keys:
        raise DeployError(
            f"The profile {profile} has the key {held}, which is none of {user_name(aws)} (of a "
            f"deleted user, perhaps): remove it from {credentials.path()}, or give another "
            "--new-profile."
        )
    return True


def _write_key(aws: Aws, profile: str) -> None:
    key = aws.client("iam").create_access_key(UserName=user_name(aws))["AccessKey"]
    if aws.dry_run:
        click.echo(f"would write the key into the profile {profile}")
        return
    path = credentials.write(profile, key["AccessKeyId"], key["SecretAccessKey"], aws.region)
    click.echo(f"The user's key is in the profile {profile} of {path}.")
    _wait_until_known(aws, key)


def _wait_until_known(aws: Aws, key: dict[str, str]) -> None:
    """Ask as the user until AWS answers: for some seconds it does not know a new key."""
    from botocore.exceptions import ClientError

    client = aws.session.client(
        "sts",
        region_name=aws.region,
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
    )
    deadline = time.monotonic() + _KNOWN_SECONDS
    while time.monotonic() < deadline:
        try:
            client.get_caller_identity()
            return
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidClientTokenId":
                raise
        time.sleep(_POLL_SECONDS)
    click.echo("AWS does not know the key yet: wait a minute before the next command.", err=True)
