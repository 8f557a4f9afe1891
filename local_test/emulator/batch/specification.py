"""What a transform job is asked to do, and what its container makes of what was left open."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from local_test.emulator.batch.processing import DataProcessing
from local_test.emulator.batch.records import SplitType, Strategy
from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.endpoint import MB
from local_test.emulator.hosting.exchange import Address, exchange
from local_test.emulator.specification import check_map, check_name

MAX_PAYLOADS_MB = 100
MAX_ENVIRONMENT = 16
_ENVIRONMENT_LIMITS = (1024, 10240)
_TIMEOUTS, _RETRIES = (1, 3600), (0, 3)
_EXECUTION_PARAMETERS_SECONDS = 60.0
# Which of the two the platform reads is not documented: the page has the first, the API the other.
STRATEGIES: dict[str, Strategy] = {
    "MULTI_RECORD": "MultiRecord",
    "SINGLE_RECORD": "SingleRecord",
    "MultiRecord": "MultiRecord",
    "SingleRecord": "SingleRecord",
}


@dataclass(frozen=True)
class Parameters:
    """MaxConcurrentTransforms, BatchStrategy, MaxPayloadInMB; None where nothing was said."""

    concurrent: int | None = None
    strategy: Strategy | None = None
    payload_mb: int | None = None

    def __or__(self, other: "Parameters") -> "Parameters":
        """Return these, and the other's where nothing was said."""
        return Parameters(
            # 0 is as good as nothing for this one.
            self.concurrent or other.concurrent,
            self.strategy or other.strategy,
            other.payload_mb if self.payload_mb is None else self.payload_mb,
        )

    def check(self) -> None:
        """Refuse what a job cannot have.

        Raises:
            EmulatorError: A number is out of range, or both together are.
        """
        concurrent, payload = self.concurrent or 0, self.payload_mb or 0
        if concurrent < 0 or payload < 0 or max(1, concurrent) * payload > MAX_PAYLOADS_MB:
            raise EmulatorError(
                f"MaxConcurrentTransforms {self.concurrent} times MaxPayloadInMB {self.payload_mb} "
                f"may be {MAX_PAYLOADS_MB} MB at most."
            )

    @property
    def most_bytes(self) -> int | None:
        """Bytes of a request at most; None for 0 MB, which means any number."""
        return (self.payload_mb or 0) * MB or None


DEFAULTS = Parameters(concurrent=1, strategy="MultiRecord", payload_mb=6)


@dataclass(frozen=True)
class TransformJob:
    """One transform job.

    Raises:
        EmulatorError: A field is one that CreateTransformJob would refuse.
    """

    name: str
    image: str
    data: Path
    content_type: str | None = None
    accept: str | None = None
    split_type: SplitType = "None"
    compression: Literal["None", "Gzip"] = "None"
    assemble_with: Literal["None", "Line"] = "None"
    parameters: Parameters = field(default_factory=Parameters)
    processing: DataProcessing = field(default_factory=DataProcessing)
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 600
    retries: int = 3

    def __post_init__(self) -> None:
        check_name("a transform job", self.name)
        if self.parameters.strategy and self.split_type == "None":
            raise EmulatorError("BatchStrategy needs SplitType Line, RecordIO or TFRecord.")
        for what, value, (lowest, highest) in (
            ("InvocationsTimeoutInSeconds", self.timeout, _TIMEOUTS),
            ("InvocationsMaxRetries", self.retries, _RETRIES),
        ):
            if not lowest <= value <= highest:
                raise EmulatorError(f"{what} is {lowest} to {highest}: {value:g}.")
        check_map("environment variable", self.environment, _ENVIRONMENT_LIMITS, MAX_ENVIRONMENT)
        self.parameters.check()

    @property
    def platform_environment(self) -> dict[str, str]:
        """What the platform sets: SAGEMAKER_BATCH, and of the rest what the job says."""
        said = {
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": self.parameters.concurrent,
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": self.parameters.payload_mb,
            "SAGEMAKER_BATCH_STRATEGY": {
                "MultiRecord": "MULTI_RECORD",
                "SingleRecord": "SINGLE_RECORD",
            }.get(str(self.parameters.strategy)),
        }
        given = {name: str(value) for name, value in said.items() if value is not None}
        return {"SAGEMAKER_BATCH": "true", **given}


def effective(job: TransformJob, address: Address) -> Parameters:
    """Return what counts: the job's parameters, else those of the container, else the defaults.

    Raises:
        EmulatorError: The container's answer cannot be read, or both together go too far.
    """
    found = job.parameters | asked(address) | DEFAULTS
    found.check()
    return replace(found, strategy=found.strategy if job.split_type != "None" else "MultiRecord")


def asked(address: Address) -> Parameters:
    """Return what GET /execution-parameters says; nothing if there is no such route."""
    reply = exchange(address, "GET", "/execution-parameters", seconds=_EXECUTION_PARAMETERS_SECONDS)
    if reply.status != 200:
        return Parameters()
    try:
        told = cast(dict[str, Any], json.loads(reply.body))
        strategy = told.get("BatchStrategy")
        payload = told.get("MaxPayloadInMB")
        return Parameters(
            int(told.get("MaxConcurrentTransforms", 0)) or None,
            STRATEGIES[strategy] if strategy else None,
            None if payload is None else int(payload),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise EmulatorError(
            f"GET /execution-parameters was answered with {reply.body[:200]!r}: wanted JSON such "
            'as {"MaxConcurrentTransforms": 8, "BatchStrategy": "MULTI_RECORD", '
            '"MaxPayloadInMB": 6}, or 404.'
        ) from error
