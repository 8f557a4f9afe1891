"""Who asks AWS, where, and under which names: what every command is given."""

import functools
import re
import sys
from dataclasses import dataclass
from typing import Any

import click

from deploy.errors import DeployError

_PROJECT = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# 63 characters of a bucket's name less an account, the longest region, and dashes.
_LONGEST_PROJECT = 30
_NOBODY = "Nobody is there to answer, so nothing was done: give --yes where no person can be asked."


@dataclass(frozen=True)
class Aws:
    """A profile, a region and a project; makes the clients, and no call before one is asked for.

    The environment counts as for the `aws` command: AWS_ENDPOINT_URL names another server.
    """

    profile: str | None
    region_option: str | None
    project: str = "brain-tumor"
    dry_run: bool = False
    assume_yes: bool = False

    def __post_init__(self) -> None:
        if not _PROJECT.fullmatch(self.project) or len(self.project) > _LONGEST_PROJECT:
            raise DeployError(
                f"--project {self.project!r} cannot be part of a bucket's name: use at most "
                f"{_LONGEST_PROJECT} small letters, digits and single dashes, a letter first."
            )

    @functools.cached_property
    def session(self) -> Any:
        """The boto3 session; in a dry run it prints calls and makes none."""
        import boto3

        session = boto3.Session(profile_name=self.profile, region_name=self.region_option)
        if self.dry_run:
            from deploy import dry_run

            dry_run.install(session.events)
        return session

    def client(self, service: str, region: str | None = None) -> Any:
        """Give the client of a service; every call of this package goes through one of these."""
        from botocore.config import Config

        place = region or self.region
        if (service, place) not in self._clients:
            config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10)
            made = self.session.client(service, region_name=place, config=config)
            self._clients[service, place] = made
        return self._clients[service, place]

    @functools.cached_property
    def _clients(self) -> dict[tuple[str, str], Any]:
        # SageMaker's takes 0.1 s to make.
        return {}

    @property
    def region(self) -> str:
        """The region of the option, the environment or the profile.

        Raises:
            DeployError: none of them names one.
        """
        region: str | None = self.session.region_name
        if not region:
            named = f" --profile {self.profile}" if self.profile else ""
            raise DeployError(
                "No region is set: give one by --region, or for good by "
                f"`aws configure set region eu-central-1{named}`."
            )
        return region

    @functools.cached_property
    def account(self) -> str:
        """The account's twelve digits, asked of STS once."""
        identity: str = self.client("sts").get_caller_identity()["Account"]
        return identity

    @property
    def bucket(self) -> str:
        """Name of the project's bucket: bucket names are shared by everyone on AWS."""
        return f"{self.project}-{self.account}-{self.region}"

    @property
    def role_name(self) -> str:
        """Name of the role as which jobs and endpoints run."""
        return f"{self.project}-execution"

    def arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        """Make an ARN of this account; IAM's have an empty region."""
        partition = self.session.get_partition_for_region(self.region)
        place = self.region if region is None else region
        return f"arn:{partition}:{service}:{place}:{self.account}:{resource}"

    @property
    def role_arn(self) -> str:
        """ARN of the role as which jobs and endpoints run."""
        return self.arn("iam", f"role/{self.role_name}", region="")

    def tell(self, what: str) -> None:
        """Say what was done; in a dry run nothing was."""
        if not self.dry_run:
            click.echo(what)

    def confirm(self, question: str) -> None:
        """Ask a person, unless told not to, or nothing would be done anyway; a no ends the run.

        Raises:
            DeployError: nobody is there to answer.
        """
        if self.dry_run or self.assume_yes:
            return
        if sys.stdin is None:
            raise DeployError(f"{question} {_NOBODY}")
        try:
            click.confirm(question, abort=True)
        except click.Abort as aborted:
            # click raises it for a no and for Ctrl-C too.
            if not isinstance(aborted.__context__, EOFError):
                raise
            click.echo()
            raise DeployError(_NOBODY) from None
