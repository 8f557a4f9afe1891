"""One request to the model: to an endpoint on AWS, or to a container by its URL."""

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import DeployError, or_none
from deploy.session import Aws

TYPES = {
    ".bmp": "image/bmp",
    ".csv": "text/csv",
    ".dcm": "application/dicom",
    ".gif": "image/gif",
    ".gz": "application/gzip",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".nii": "application/x-nifti",
    ".npy": "application/x-npy",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}
"""Content type by a file's ending; of any other file the image looks at the first bytes."""
_SECONDS = 65.0  # a little more than SageMaker gives a container
_POLL_SECONDS = 2.0
_LONGEST_ASYNC = 3600  # what AWS allows


class RefusedError(DeployError):
    """The model's answer is that it cannot answer this file."""


@dataclass(frozen=True)
class Question:
    """What is sent."""

    path: Path
    content_type: str
    accept: str
    target_model: str | None = None
    """Archive of a multi-model endpoint, relative to its prefix."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    content_type: str
    body: bytes


def guess_type(path: Path) -> str:
    """Give the content type of a file by its ending."""
    return TYPES.get(path.suffix.lower(), "application/octet-stream")


def ask_url(url: str, question: Question) -> Reply:
    """Ask a container at `url`, such as http://127.0.0.1:8080.

    Raises:
        RefusedError: its status is not 200; the sentence is the container's.
        DeployError: nothing answers there.
    """
    import urllib3

    target = question.target_model
    path = f"/models/{target}/invoke" if target else "/invocations"
    headers = {"Content-Type": question.content_type, "Accept": question.accept}
    try:
        answer = urllib3.request(
            "POST",
            url.rstrip("/") + path,
            body=question.path.read_bytes(),
            headers=headers,
            timeout=_SECONDS,
            retries=False,
        )
    except urllib3.exceptions.HTTPError as error:
        raise DeployError(
            f"Nothing answers at {url} ({error}): start a container by "
            "`local_test/serve_local.sh brain-tumor`."
        ) from error
    if answer.status != 200:
        raise _refusal(question, answer.status, answer.data.decode(errors="replace"))
    return Reply(answer.headers.get("Content-Type", ""), answer.data)


def ask_endpoint(aws: Aws, endpoint: str, question: Question) -> Reply | None:
    """Ask an endpoint; None in a dry run.

    Raises:
        RefusedError: the container's status is not 200; the sentence is the container's.
    """
    from botocore.exceptions import ClientError

    target = {"TargetModel": question.target_model} if question.target_model else {}
    try:
        answer = aws.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint,
            ContentType=question.content_type,
            Accept=question.accept,
            Body=question.path.read_bytes(),
            **target,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ModelError":
            raise
        told: dict[str, Any] = error.response
        raise _refusal(
            question, told.get("OriginalStatusCode"), told.get("OriginalMessage", "")
        ) from error
    return None if aws.dry_run else Reply(answer["ContentType"], answer["Body"].read())


def _refusal(question: Question, status: Any, text: str) -> RefusedError:
    try:
        text = json.loads(text)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        # Not this image, or something between it and here.
        text = text.strip()[:300]
    return RefusedError(f"{question.path} was refused ({status}): {text}")


def ask_async(aws: Aws, endpoint: str, question: Question, seconds: float) -> Reply | None:
    """Ask an asynchronous endpoint by way of the bucket; None in a dry run.

    Raises:
        RefusedError: it wrote a failure.
        DeployError: it wrote nothing within `seconds`.
    """
    # Not the file's name, which may be a patient's: it would stand in access logs.
    key = f"async/input/{uuid.uuid4()}"
    aws.client("s3").upload_file(
        str(question.path), aws.bucket, key, ExtraArgs={"ExpectedBucketOwner": aws.account}
    )
    answer = aws.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName=endpoint,
        ContentType=question.content_type,
        Accept=question.accept,
        InputLocation=f"s3://{aws.bucket}/{key}",
        InvocationTimeoutSeconds=int(min(_LONGEST_ASYNC, max(1, seconds))),
    )
    return None if aws.dry_run else _collect(aws, question, answer, seconds)


def _collect(aws: Aws, question: Question, answer: dict[str, Any], seconds: float) -> Reply:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = _read(aws, answer["OutputLocation"])
        if done:
            return done
        failure = _read(aws, answer.get("FailureLocation"))
        if failure:
            raise _refusal(question, "failure", failure.body.decode(errors="replace"))
        time.sleep(_POLL_SECONDS)
    raise DeployError(
        f"{question.path} has no answer after {seconds:g} s; it will be written to "
        f"{answer['OutputLocation']}."
    )


def _read(aws: Aws, uri: str | None) -> Reply | None:
    if not uri:
        return None
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found = or_none(aws.client("s3").get_object, Bucket=bucket, Key=key)
    return Reply(found["ContentType"], found["Body"].read()) if found else None
