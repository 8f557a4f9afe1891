"""What a training job is asked to do: the fields of CreateTrainingJob, within the API's limits."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_test.emulator.channels import Channel
from local_test.emulator.errors import EmulatorError
from local_test.emulator.metrics import MetricDefinition

# (API shapes HyperParameters, TrainingEnvironmentMap, AlgorithmSpecification)
MAX_ENTRIES = 100
HYPERPARAMETER_LIMITS = (256, 2500)
ENVIRONMENT_LIMITS = (512, 512)
MAX_RUNTIME = 28 * 24 * 3600
MAX_WORDS = 100
# Of a FailureReason, in characters.
MAX_FAILURE = 1024
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
# An account that does not exist.
ACCOUNT = "123456789012"
REGION = "us-east-1"


@dataclass(frozen=True)
class TrainingJob:
    """One training job. Times are in seconds from the start of training.

    Raises:
        EmulatorError: A field is one that CreateTrainingJob would refuse.
    """

    name: str
    image: str
    channels: tuple[Channel, ...] = ()
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    metric_definitions: tuple[MetricDefinition, ...] = ()
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    instance_count: int = 1
    instance_type: str = "ml.m5.xlarge"
    memory: str | None = None
    gpus: bool = False
    isolated: bool = False
    # Stands for CheckpointConfig's S3Uri; without it there is no /opt/ml/checkpoints.
    checkpoints: Path | None = None
    max_runtime: float = 86400
    spot_kill_after: float | None = None
    stop_after: float | None = None
    # From SIGTERM to SIGKILL.
    grace: float = 120

    def __post_init__(self) -> None:
        check_name("a training job", self.name)
        check_map("hyperparameter", self.hyperparameters, HYPERPARAMETER_LIMITS)
        check_map("environment variable", self.environment, ENVIRONMENT_LIMITS)
        if len({channel.mode for channel in self.channels}) > 1:
            raise EmulatorError("The emulator takes one input mode for all channels of a job.")
        for words in (self.entrypoint, self.arguments):
            if len(words) > MAX_WORDS:
                raise EmulatorError(
                    f"{len(words)} words in a command: SageMaker takes {MAX_WORDS}."
                )
        if not 1 <= self.max_runtime <= MAX_RUNTIME:
            raise EmulatorError(f"MaxRuntimeInSeconds is 1 to {MAX_RUNTIME}: {self.max_runtime}.")

    @property
    def hosts(self) -> list[str]:
        """The hosts' names, sorted as strings: algo-10 stands before algo-2."""
        return sorted(f"algo-{number}" for number in range(1, self.instance_count + 1))

    @property
    def arn(self) -> str:
        """The name that the platform would give it."""
        return arn("training-job", self.name)

    @property
    def command(self) -> tuple[str, ...]:
        """What follows the image: `train`, unless ContainerEntrypoint or -Arguments are given."""
        return self.arguments or (() if self.entrypoint else ("train",))


def arn(kind: str, name: str) -> str:
    """Return the name that the platform would give something, such as a training-job."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def check_name(what: str, name: str) -> None:
    """Refuse what is no name for a job or an endpoint.

    Raises:
        EmulatorError: The API would refuse it.
    """
    if not _NAME.fullmatch(name):
        raise EmulatorError(
            f"{name!r} is no name for {what}: SageMaker takes up to 63 letters, digits and "
            "dashes, no dash at the ends."
        )


def check_map(
    what: str, entries: Mapping[str, str], limits: tuple[int, int], most: int = MAX_ENTRIES
) -> None:
    """Refuse too many entries, and names or values longer than the limits.

    Raises:
        EmulatorError: The API would refuse them.
    """
    key_limit, value_limit = limits
    if len(entries) > most:
        raise EmulatorError(f"{len(entries)} {what}s: SageMaker takes {most} at most.")
    for key, value in entries.items():
        if len(key) > key_limit or len(value) > value_limit:
            raise EmulatorError(
                f"The {what} {key[:40]} has {len(key)} characters in its name and {len(value)} in "
                f"its value: SageMaker takes {key_limit} and {value_limit} at most."
            )


def parse_pairs(words: Iterable[str], option: str) -> dict[str, str]:
    """Return `key=value` words as a mapping; a key that comes again replaces the former."""
    pairs = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise EmulatorError(f"{option} {word}: wanted key=value.")
        pairs[key] = value
    return pairs
