"""DescribeEndpoint, which clients ask before they invoke; nothing else of SageMaker's own API."""

import json
from typing import Any

from local_test.emulator.hosting.api_errors import ControlValidationError
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.headers import VARIANT
from local_test.emulator.specification import arn

_OPERATION = "SageMaker.DescribeEndpoint"


def answer(endpoint: Endpoint, operation: str, body: bytes) -> dict[str, Any]:
    """Answer a call of the API; times are seconds since 1970, as in its JSON.

    Args:
        endpoint: The only one there is.
        operation: What the header X-Amz-Target names.
        body: JSON.

    Raises:
        ControlValidationError: It is another operation, or about another endpoint.
    """
    if operation != _OPERATION:
        raise ControlValidationError(f"The emulator answers {_OPERATION} alone, not {operation}.")
    name = json.loads(body)["EndpointName"]
    if name != endpoint.name:
        raise ControlValidationError(f'Could not find endpoint "{arn("endpoint", name)}".')
    created = endpoint.created.timestamp()
    return {
        "EndpointName": name,
        "EndpointArn": arn("endpoint", name),
        "EndpointConfigName": name,
        "ProductionVariants": [
            {"VariantName": VARIANT, "CurrentInstanceCount": 1, "DesiredInstanceCount": 1}
        ],
        "EndpointStatus": "InService",
        "CreationTime": created,
        "LastModifiedTime": created,
    }
