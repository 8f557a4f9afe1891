"""Which headers go in and out of a container, and what the API demands of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from local_test.emulator.hosting.api_errors import ValidationError

PREFIX = "x-amzn-sagemaker-"
VARIANT = "AllTraffic"
# What a client that names none sends: botocore says it for any body.
_DEFAULT_CONTENT_TYPE = "application/octet-stream"
# Not documented by name: "SageMaker may add additional headers", which a container ignores.
_ADDED = {"X-Amzn-Trace-Id": "Root=1-00000000-000000000000000000000000"}


@dataclass(frozen=True)
class Field:
    """A header of InvokeEndpoint: the API's name for it, its limits, and where it goes."""

    member: str
    longest: int
    pattern: str
    container: str | None = None


_ASCII = r"[\x00-\x7f]*"
_NAME = r"[a-zA-Z0-9](-*[a-zA-Z0-9])*"
_PRINTED = r"\S[\x20-\x7e]*"
# (shapes of sagemaker-runtime's API; which ones reach a container: contract of the Marketplace)
FIELDS = {
    "content-type": Field("contentType", 1024, _ASCII, "Content-Type"),
    "accept": Field("accept", 1024, _ASCII, "Accept"),
    f"{PREFIX}custom-attributes": Field(
        "customAttributes", 1024, _ASCII, "X-Amzn-SageMaker-Custom-Attributes"
    ),
    f"{PREFIX}inference-id": Field("inferenceId", 64, _PRINTED, "X-Amzn-SageMaker-Inference-Id"),
    f"{PREFIX}session-id": Field(
        "sessionId", 256, rf"NEW_SESSION|{_NAME}", "X-Amzn-SageMaker-Session-Id"
    ),
    f"{PREFIX}target-model": Field("targetModel", 1024, _PRINTED),
    f"{PREFIX}target-variant": Field("targetVariant", 63, _NAME),
    f"{PREFIX}target-container-hostname": Field("targetContainerHostname", 63, _NAME),
    f"{PREFIX}enable-explanations": Field("enableExplanations", 64, ".+"),
    f"{PREFIX}inference-component": Field("inferenceComponentName", 63, _NAME),
    f"{PREFIX}prefix-aware-id": Field("prefixAwareId", 64, _PRINTED),
}
# What reaches the caller, in the names of the API.
_ANSWERED = (
    "Content-Type",
    "X-Amzn-SageMaker-Custom-Attributes",
    "X-Amzn-SageMaker-New-Session-Id",
    "X-Amzn-SageMaker-Closed-Session-Id",
)


def check(headers: Mapping[str, str]) -> None:
    """Refuse what InvokeEndpoint refuses; names are in lower case.

    Raises:
        ValidationError: A header is too long or has characters that the API does not take.
    """
    for name, field in FIELDS.items():
        value = headers.get(name)
        if value is None:
            continue
        if len(value) > field.longest:
            raise _invalid(field, "have length less than or equal to", field.longest)
        if not re.fullmatch(field.pattern, value):
            raise _invalid(field, "satisfy regular expression pattern:", field.pattern)
    variant = headers.get(f"{PREFIX}target-variant", VARIANT)
    if variant != VARIANT:
        raise ValidationError(f"Variant {variant} not found. The emulator has {VARIANT} alone.")


def _invalid(field: Field, wanted: str, what: object) -> ValidationError:
    return ValidationError(
        f"1 validation error detected: Value at '{field.member}' failed to satisfy constraint: "
        f"Member must {wanted} {what}"
    )


def to_container(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what a container gets of a call's headers; names are in lower case in the call."""
    passed_on = {
        field.container: headers[name]
        for name, field in FIELDS.items()
        if field.container and name in headers
    }
    return {"Content-Type": _DEFAULT_CONTENT_TYPE, **passed_on, **_ADDED}


def to_caller(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what the caller gets of a container's headers; names are in lower case there."""
    passed_on = {name: headers[name.lower()] for name in _ANSWERED if name.lower() in headers}
    return {**passed_on, "x-Amzn-Invoked-Production-Variant": VARIANT}
