"""`iam`: an administrator's one step: a user that may do this work alone, and its key."""

from pathlib import Path

import click

from deploy import credentials, policies, tags
from deploy.commands.setup import make_policy
from deploy.options import aws_command
from deploy.resources.access import user_name
from deploy.session import Aws

_HINT = """Does your company sign in by a portal (IAM Identity Center, SSO)? Then make no user:
put the policy into a permission set (`iam --policy-only`), and run `aws configure sso`."""


@aws_command(
    "iam --policy-only --profile admin > policy.json",
    "iam --profile admin --new-profile brain-tumor",
    name="iam",
)
@click.option("--policy-only", is_flag=True, help="Print the user's policy as JSON; make nothing.")
@click.option(
    "--new-profile",
    default="brain-tumor",
    show_default=True,
    help="Profile of ~/.aws into which the user's key is written.",
)
@click.option("--policy-file", type=click.Path(path_type=Path), help="Write the policy here too.")
def iam(aws: Aws, policy_only: bool, new_profile: str, policy_file: Path | None) -> None:
    """Make a user with the least rights that this work needs, and write its key into ~/.aws.

    An administrator runs it once (--profile). The policy names the project's own resources and is
    printed for review. The key goes into a profile, readable by you alone, and is shown nowhere.
    It makes the execution role's policy too, which the user may use but not change.
    """
    policy = policies.as_json(policies.user_policy(aws))
    if policy_file:
        policy_file.write_text(policy)
    click.echo(policy)
    if policy_only:
        return
    click.echo(_HINT)
    name = user_name(aws)
    aws.confirm(f"Make the user {name}, who may do this and nothing else?")
    make_policy(aws, "execution", policies.execution_policy(aws))
    make_user(aws, make_policy(aws, "user", policies.user_policy(aws)))
    if credentials.has(new_profile):
        click.echo(f"The profile {new_profile} has a key already; no other was made.")
    elif not aws.dry_run:
        _write_key(aws, new_profile)
    else:
        aws.client("iam").create_access_key(UserName=name)
        click.echo(f"would write the key into the profile {new_profile}")
    click.echo(f"Next: export AWS_PROFILE={new_profile}; python -m deploy setup")


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


def _write_key(aws: Aws, profile: str) -> None:
    key = aws.client("iam").create_access_key(UserName=user_name(aws))["AccessKey"]
    path = credentials.write(profile, key["AccessKeyId"], key["SecretAccessKey"], aws.region)
    click.echo(f"The user's key is in the profile {profile} of {path}.")
