"""Names of what the commands make: they begin with the project's, or no policy would allow it."""

import hashlib
import json
import re
from typing import Any

from deploy.errors import DeployError, or_none
from deploy.session import Aws

# What SageMaker calls the jobs of a command.
_KINDS = {"train": "training", "transform": "transform"}
# Characters of a digest that are added to the name of an endpoint's configuration.
_DIGEST = 10


def ours(aws: Aws, name: str) -> str:
    """Give a name as it is.

    Raises:
        DeployError: `delete` would not find it, nor the user's policy allow it.
    """
    if not name.startswith(f"{aws.project}-"):
        raise DeployError(
            f"The name {name} does not begin with {aws.project}-, by which `status` and `delete` "
            "find things: choose another, or another --project."
        )
    return name


def job(aws: Aws, name: str, longest: int = 63) -> str:
    """Give the name of a job, or of what is named as strictly, as it is; of some `longest` differs.

    Raises:
        DeployError: it is not ours, or SageMaker would not take it.
    """
    if not is_job(aws, ours(aws, name), longest):
        raise DeployError(
            f"The name {name} does not do: SageMaker takes letters, digits and dashes, "
            f"here at most {longest} in all, of which {len(aws.project) + 1} are the project's: "
            "choose another."
        )
    return name


def is_job(aws: Aws, name: str, longest: int = 63) -> bool:
    """Whether a job or an endpoint of the project can have this name."""
    pattern = rf"{re.escape(aws.project)}(-+[a-zA-Z0-9]+)+"
    return len(name) <= longest and bool(re.fullmatch(pattern, name))


def new_job(aws: Aws, command: str, name: str) -> None:
    """Refuse a name for a job that `train` or `transform` is to start.

    Raises:
        DeployError: SageMaker would not take it, or one was started by that name.
    """
    if _describe(aws, command, job(aws, name)):
        raise DeployError(
            f"{name} was started already: `python -m deploy {command} --attach {name}` watches it "
            "and fetches what it made; another --name starts another job."
        )


def old_job(aws: Aws, command: str, name: str) -> None:
    """Refuse the name of a job that `train` or `transform` is to follow.

    Raises:
        DeployError: there is none of that name.
    """
    if not (_describe(aws, command, name) or aws.dry_run):
        raise DeployError(
            f"There is no {_KINDS[command]} job {name} in {aws.region}: `python -m deploy status` "
            "lists the jobs."
        )


def _describe(aws: Aws, command: str, name: str) -> Any:
    kind = _KINDS[command]
    call = getattr(aws.client("sagemaker"), f"describe_{kind}_job")
    return or_none(call, **{f"{kind.title()}JobName": name})


def endpoint(aws: Aws, name: str | None) -> str:
    """Give the name of an endpoint: the given one, or the project's."""
    return job(aws, name or f"{aws.project}-endpoint", 63 - 1 - _DIGEST)


def topic(aws: Aws, arn: str | None) -> None:
    """Refuse an SNS topic that the execution role may not tell anything.

    Raises:
        DeployError: it is of another account, region or project.
    """
    # A dry run does not know the account.
    account = r"\w+" if aws.dry_run else aws.account
    wanted = rf"arn:[\w-]+:sns:{aws.region}:{account}:{re.escape(aws.project)}-[\w.-]+"
    if arn and not re.fullmatch(wanted, arn):
        raise DeployError(
            f"The topic {arn} does not do: the role may tell topics of this account and region "
            f"alone whose names begin with {aws.project}-; an administrator makes one by `aws sns "
            f"create-topic --name {aws.project}-news`."
        )


def by_content_of(stem: str) -> str:
    """Give the regex of the names that `by_content` gives."""
    return rf"{re.escape(stem)}-[0-9a-f]{{{_DIGEST}}}"


def by_content(stem: str, request: dict[str, Any]) -> str:
    """Name a thing that cannot be changed after its content, so that the same one is made once."""
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return f"{stem}-{digest[:_DIGEST]}"
