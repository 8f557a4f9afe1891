"""What the training jobs of a check are made of."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from local_test.emulator.channels import Channel
from local_test.emulator.console import Console
from local_test.emulator.hosts import MakeHost
from local_test.emulator.metrics import MetricDefinition
from local_test.emulator.specification import TrainingJob


@dataclass(frozen=True)
class Setting:
    """What jobs are made of.

    Attributes:
        name: The image, or the command in its place.
        make_hosts: Makes the hosts of a job.
        contained: Whether those are containers.
        channels: Gives the data.
        hyperparameters: Those of all jobs.
        long: More of them for the jobs that are to be interrupted.
        metrics: Definitions that the log has to match.
        hosts: How many hosts the image claims to train on.
        folder: For what the jobs leave.
        sources: For what is put into channels.
        console: Where their logs go.
    """

    name: str
    make_hosts: Callable[[TrainingJob], AbstractContextManager[MakeHost]]
    contained: bool
    channels: Callable[[], Sequence[Channel]]
    hyperparameters: Mapping[str, str]
    long: Mapping[str, str]
    metrics: tuple[MetricDefinition, ...]
    hosts: int
    folder: Path
    sources: Path
    console: Console
