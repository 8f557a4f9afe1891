"""Errors, told as one sentence to people; what mends them stands in the table of `remedies`.

What the table does not hold and AWS answered all the same is told with its code. Errors that are
nobody's but ours are not explained.
"""

import re
import textwrap
from collections.abc import Callable
from typing import Any

from deploy.remedies import RULES

_LONGEST = 500


class DeployError(Exception):
    """A sentence for people: what was met, what was wanted, and the command that mends it."""


class KeptError(DeployError):
    """Something that stays, rightly: AWS keeps it for good, or it is needed elsewhere."""


def explain(error: BaseException) -> str | None:
    """Give the sentence for an error; None where it is no one's but ours."""
    if isinstance(error, DeployError):
        return str(error)
    # boto3's uploads wrap AWS's answer in an error of their own.
    if type(error).__name__ == "S3UploadFailedError" and error.__context__:
        error = error.__context__
    answer: dict[str, str] = getattr(error, "response", {}).get("Error", {})
    kind = answer.get("Code") or type(error).__name__
    text = answer.get("Message") or str(error)
    operation = getattr(error, "operation_name", "this")
    known = type(error).__module__.split(".")[0] in ("botocore", "boto3", "s3transfer")
    if not known and not isinstance(error, ModuleNotFoundError):
        return str(error) if isinstance(error, OSError) else None
    told = _look_up(kind, text, operation)
    if told or isinstance(error, ModuleNotFoundError):
        return told
    # Not AWS, but a proxy on the way answers by a page.
    text = textwrap.shorten(text, _LONGEST)
    return f"AWS refused {operation} ({kind}): {text}" if answer else f"{kind}: {text}"


def explain_failure(reason: str) -> str | None:
    """Give the sentence for a FailureReason of a job or endpoint, where the table has one."""
    return _look_up("FailureReason", reason, "the job")


def tell_failure(described: dict[str, Any], otherwise: str = "") -> str:
    """Give why AWS says that a job or an endpoint failed, and what mends it, or `otherwise`."""
    reason: str = described.get("FailureReason") or "AWS gives no reason"
    return f"{reason.rstrip('.')}. {explain_failure(reason) or otherwise}".rstrip()


def _look_up(kind: str, text: str, operation: str) -> str | None:
    for rule in RULES:
        found = re.search(rule.text, text, re.IGNORECASE | re.DOTALL)
        if re.fullmatch(rule.kinds, kind) and found:
            return rule.sentence.format(**_words(found, text, operation))
    return None


def _words(found: re.Match[str], text: str, operation: str) -> dict[str, Any]:
    groups = {name: value or "" for name, value in found.groupdict().items()}
    region = groups.get("region")
    return {
        "message": " ".join(text.split()),
        "operation": operation,
        "region_told": f" ({region})" if region else "",
        **groups,
    }


_ABSENT = {
    "404",
    "NoSuchBucket",
    "NoSuchKey",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchEntity",
    "NoSuchTagSet",
    "NotFoundException",
    "ObjectNotFoundException",
    "RepositoryNotFoundException",
    "ResourceNotFound",
    "ResourceNotFoundException",
}


def or_none(call: Callable[..., Any], **parameters: Any) -> Any:
    """Make a call; give None where AWS answers that what it names does not exist."""
    from botocore.exceptions import ClientError

    try:
        return call(**parameters)
    except ClientError as error:
        if is_absent(error):
            return None
        raise


def is_absent(error: Any) -> bool:
    """Whether a ClientError says that what was asked for does not exist."""
    answer = error.response["Error"]
    # SageMaker has no code of its own for that.
    words = r"could not find|cannot find|does not exist|not found"
    vague = answer["Code"] in ("ValidationException", "ValidationError")
    return answer["Code"] in _ABSENT or bool(
        vague and re.search(words, answer.get("Message", ""), re.IGNORECASE)
    )
