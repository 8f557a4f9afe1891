"""InvokeEndpoint and InvokeEndpointWithResponseStream: the platform's rules around a container."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from local_test.emulator.hosting import headers as rules
from local_test.emulator.hosting.api_errors import ModelError, ModelStreamError, ValidationError
from local_test.emulator.hosting.exchange import PRIMARY, NoReplyError, Reply, TimedOutError
from local_test.emulator.hosting.health import Ping
from local_test.emulator.hosting.targets import Answer, Call, Target
from local_test.emulator.specification import check_name

MB = 1024 * 1024
_TIMED_OUT = (
    f"Your invocation timed out while waiting for a response from container {PRIMARY}. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True)
class Limits:
    """What an endpoint allows: seconds in all for an answer and for a stream, and bytes."""

    invocation: float = 60.0
    stream: float = 480.0
    payload: int = 25 * MB


@dataclass(frozen=True)
class Stream:
    """A streamed answer: its parts raise ModelStreamError where it breaks off."""

    headers: Mapping[str, str]
    parts: Iterator[bytes]


class Endpoint:
    """An endpoint with one variant; what it raises are the API's errors.

    Args:
        name: Its name.
        target: What answers.
        limits: What it allows.

    Raises:
        EmulatorError: It is no name for an endpoint.
    """

    def __init__(self, name: str, target: Target, limits: Limits | None = None) -> None:
        check_name("an endpoint", name)
        self.name = name
        self.target = target
        self.limits = limits or Limits()
        self.created = datetime.now(UTC)

    def ping(self) -> Ping:
        """Ask the container for its health once."""
        return self.target.ping()

    def invoke(
        self, body: bytes, headers: Mapping[str, str] | None = None, seconds: float | None = None
    ) -> Reply:
        """Do as InvokeEndpoint; the reply is what a caller gets of the container's.

        Args:
            body: The payload.
            headers: The headers of the API call.
            seconds: What it may take, in place of the limit.

        Raises:
            ApiError: What boto3 would raise.
        """
        call = self._call(body, headers or {}, seconds or self.limits.invocation)
        with self._answered(call) as answer:
            content = b"".join(answer.parts())
            self._refuse_errors(answer, content)
            if len(content) > self.limits.payload:
                limit = f"{self.limits.payload} bytes"
                raise self._error(f"The answer has {len(content)} bytes, the limit is {limit}.")
            return Reply(answer.status, rules.to_caller(answer.headers), content)

    @contextmanager
    def stream(self, body: bytes, headers: Mapping[str, str] | None = None) -> Iterator[Stream]:
        """Do as InvokeEndpointWithResponseStream; the parts come as the container sends them.

        Raises:
            ApiError: What boto3 would raise.
        """
        call = self._call(body, headers or {}, self.limits.stream)
        with self._answered(call) as answer:
            if answer.status // 100 != 2:
                self._refuse_errors(answer, b"".join(answer.parts()))
            yield Stream(rules.to_caller(answer.headers), _parts(answer))

    def _call(self, body: bytes, headers: Mapping[str, str], seconds: float) -> Call:
        given = {name.lower(): value for name, value in headers.items()}
        rules.check(given)
        if len(body) > self.limits.payload:
            raise ValidationError(
                "1 validation error detected: Value at 'body' failed to satisfy constraint: "
                f"Member must have length less than or equal to {self.limits.payload}"
            )
        target_model = given.get(f"{rules.PREFIX}target-model")
        return Call(body, rules.to_container(given), seconds, target_model)

    @contextmanager
    def _answered(self, call: Call) -> Iterator[Answer]:
        try:
            with self.target.open(call) as answer:
                yield answer
        except TimedOutError as error:
            raise self._error(_TIMED_OUT) from error
        except NoReplyError as error:
            raise self._error(str(error)) from error

    def _refuse_errors(self, answer: Answer, content: bytes) -> None:
        if answer.status // 100 != 2:
            message = content.decode(errors="replace")
            raise ModelError(self.name, answer.status, message, answer.container)

    def _error(self, message: str) -> ModelError:
        return ModelError(self.name, 0, message, PRIMARY)


def _parts(answer: Answer) -> Iterator[bytes]:
    try:
        yield from answer.parts()
    except TimedOutError as error:
        raise ModelStreamError(str(error), "ModelInvocationTimeExceeded") from error
    except NoReplyError as error:
        raise ModelStreamError(str(error), "StreamBroken") from error
