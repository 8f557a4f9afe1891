"""InvokeEndpointAsync: a queue before the container, objects in folders, notifications as files."""

import json
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting import headers as rules
from local_test.emulator.hosting.api_errors import ApiError, ValidationError
from local_test.emulator.hosting.bucket import Buckets
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.exchange import Reply
from local_test.emulator.specification import REGION

MAX_INLINE = 128_000
MAX_INPUT = 1024**3
_PREFIX = rules.PREFIX
# What the API calls it here, and what the container's call has for it.
_RENAMED = {f"{_PREFIX}content-type": "content-type", f"{_PREFIX}accept": "accept"}


@dataclass(frozen=True)
class AsyncConfig:
    """AsyncInferenceConfig.

    Attributes:
        buckets: Where objects lie.
        output: S3OutputPath.
        failure: S3FailurePath.
        notifications: In place of SNS: a folder in which success/ID.json and error/ID.json appear.
        concurrency: MaxConcurrentInvocationsPerInstance.
    """

    buckets: Buckets
    notifications: Path
    output: str = "s3://emulator/async/output"
    failure: str = "s3://emulator/async/failure"
    concurrency: int = 4


@dataclass(frozen=True)
class Accepted:
    """A call that stands in the queue."""

    inference_id: str
    output: str
    failure: str
    timeout: float
    expires: float
    request: Mapping[str, str]
    input: str | bytes
    received: str = field(default_factory=lambda: _now())

    @property
    def headers(self) -> dict[str, str]:
        """What the caller is told."""
        return {
            "X-Amzn-SageMaker-OutputLocation": self.output,
            "X-Amzn-SageMaker-FailureLocation": self.failure,
        }


class AsyncInvocations:
    """Takes calls, and works them off until the block ends; those in the queue then are dropped."""

    def __init__(self, endpoint: Endpoint, config: AsyncConfig) -> None:
        self._endpoint = endpoint
        self._config = config
        self._pool = ThreadPoolExecutor(config.concurrency)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        # Not waited for, as a call may take an hour: its container is told to end next.
        self._pool.shutdown(wait=False, cancel_futures=True)

    def accept(self, body: bytes, headers: Mapping[str, str]) -> Accepted:
        """Put a call into the queue; names of headers are in lower case.

        Raises:
            ValidationError: It is one that InvokeEndpointAsync refuses.
        """
        given = {_RENAMED.get(name, name): value for name, value in headers.items()}
        location = headers.get(f"{_PREFIX}inputlocation")
        # A client sends a type of its own for the empty body of a call with a location.
        if f"{_PREFIX}content-type" not in headers and location:
            given.pop("content-type", None)
        rules.check(given)
        if bool(body) == bool(location):
            raise ValidationError("Exactly one of Body and InputLocation must be given.")
        if len(body) > MAX_INLINE:
            raise ValidationError(f"Body has {len(body)} bytes, the limit is {MAX_INLINE}.")
        accepted = self._accepted(given, location or body)
        self._pool.submit(self._work_off, accepted)
        return accepted

    def _accepted(self, given: Mapping[str, str], source: str | bytes) -> Accepted:
        timeout = _whole_number(given, "invocationtimeoutseconds", 900, (1, 3600))
        ttl = _whole_number(given, "requestttlseconds", 21600, (60, 21600))
        extension = given.get(f"{_PREFIX}s3outputpathextension", "").strip("/")
        middle = f"/{extension}/" if extension else "/"
        name = str(uuid.uuid4())
        return Accepted(
            inference_id=given.get(f"{_PREFIX}inference-id", str(uuid.uuid4())),
            output=f"{self._config.output}{middle}{given.get(f'{_PREFIX}filename', f'{name}.out')}",
            failure=f"{self._config.failure}{middle}{name}-error.out",
            timeout=timeout,
            expires=time.monotonic() + ttl,
            request={k: v for k, v in given.items() if k in rules.FIELDS},
            input=source,
        )

    def _work_off(self, accepted: Accepted) -> None:
        try:
            if time.monotonic() > accepted.expires:
                raise EmulatorError("The request's time to live passed while it was in the queue.")
            body = self._input(accepted.input)
            headers = {
                **accepted.request,
                f"{_PREFIX}inference-id": accepted.inference_id,
            }
            reply = self._endpoint.invoke(body, headers, accepted.timeout)
            self._config.buckets.write(accepted.output, reply.body)
        except (EmulatorError, OSError) as error:
            self._failed(accepted, error)
        else:
            self._notify("success", accepted, _completed(accepted, reply))

    def _input(self, source: str | bytes) -> bytes:
        if isinstance(source, bytes):
            return source
        path = self._config.buckets.path(source)
        if not path.is_file():
            raise EmulatorError(f"Failed to download input from {source}: there is no {path}.")
        if path.stat().st_size > MAX_INPUT:
            raise EmulatorError(f"{source} is larger than 1 GB, the limit of asynchronous inputs.")
        return path.read_bytes()

    def _failed(self, accepted: Accepted, error: Exception) -> None:
        self._config.buckets.write(accepted.failure, str(error).encode())
        kind = error.code if isinstance(error, ApiError) else "ClientError"
        told = {
            "invocationStatus": "Failed",
            "failureReason": f"{kind}: {error}",
            "failureLocation": accepted.failure,
        }
        self._notify("error", accepted, told)

    def _notify(self, topic: str, accepted: Accepted, told: Mapping[str, Any]) -> None:
        location = accepted.input if isinstance(accepted.input, str) else None
        requested = {
            "contentType": accepted.request.get("content-type"),
            "endpointName": self._endpoint.name,
            "inputLocation": location,
        }
        notification = {
            "awsRegion": REGION,
            "eventTime": _now(),
            "receivedTime": accepted.received,
            **told,
            "requestParameters": {k: v for k, v in requested.items() if v is not None},
            "inferenceId": accepted.inference_id,
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
        }
        notifications = Buckets(self._config.notifications)
        text = json.dumps(notification, indent=2).encode()
        notifications.write(f"s3://{topic}/{_file_name(accepted.output)}.json", text)


def _completed(accepted: Accepted, reply: Reply) -> dict[str, Any]:
    return {
        "invocationStatus": "Completed",
        "responseParameters": {
            "contentType": reply.headers.get("Content-Type"),
            "outputLocation": accepted.output,
        },
    }


def _file_name(location: str) -> str:
    return location.rsplit("/", 1)[-1].removesuffix(".out")


def _whole_number(
    given: Mapping[str, str], name: str, default: int, limits: tuple[int, int]
) -> int:
    text = given.get(f"{_PREFIX}{name}", str(default))
    lowest, highest = limits
    if not text.isdigit() or not lowest <= int(text) <= highest:
        raise ValidationError(f"{name} is {text}: wanted {lowest} to {highest}.")
    return int(text)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
