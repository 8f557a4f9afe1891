"""The errors of SageMaker's runtime API, as boto3 reads them."""

from typing import Any

from local_test.emulator.errors import EmulatorError
from local_test.emulator.specification import ACCOUNT, REGION

# (API shape Message)
MAX_ORIGINAL_MESSAGE = 2048


class ApiError(EmulatorError):
    """What a call of the API is refused with."""

    status = 500
    code = "InternalFailure"

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.fields = {"Message": message, **fields}


class ValidationError(ApiError):
    """The call is one that the API refuses, before the container sees it."""

    status = 400
    code = "ValidationError"


class ControlValidationError(ApiError):
    """The same, of SageMaker's own API, whose clients look for the code in the body."""

    status = 400
    code = "ValidationException"

    def __init__(self, message: str) -> None:
        super().__init__(message, __type=self.code)


class ThrottlingError(ApiError):
    """More calls at once than the endpoint takes."""

    status = 400
    code = "ThrottlingException"


class ModelNotReadyError(ApiError):
    """The model is still being loaded."""

    status = 429
    code = "ModelNotReadyException"


class ServiceUnavailableError(ApiError):
    """There is no healthy container."""

    status = 503
    code = "ServiceUnavailable"


class ModelError(ApiError):
    """The container answered with an error, or not at all (status 0)."""

    status = 424
    code = "ModelError"

    def __init__(self, endpoint: str, original_status: int, original: str, container: str) -> None:
        kind = "client" if 400 <= original_status < 500 else "server"
        where = f"/aws/sagemaker/Endpoints/{endpoint}"
        original = original[:MAX_ORIGINAL_MESSAGE]
        super().__init__(
            f"Received {kind} error ({original_status}) from {container} with message "
            f'"{original}". See {where} in account {ACCOUNT} for more information.',
            OriginalStatusCode=original_status,
            OriginalMessage=original,
            LogStreamArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{where}",
        )


class InternalStreamError(ApiError):
    """A stream broke off by our own fault."""

    code = "InternalStreamFailure"


class ModelStreamError(ApiError):
    """A stream broke off after it had begun."""

    code = "ModelStreamError"

    def __init__(self, message: str, error_code: str) -> None:
        super().__init__(f"{error_code}: {message}", ErrorCode=error_code)
