"""What happened to a training job: statuses with their times, metrics, exit codes, results."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from local_test.emulator.specification import TrainingJob

# The platform's own words, as DescribeTrainingJob gives them.
MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Interrupted": "Training job interrupted: the spot instance was reclaimed",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds",
}
# What TrainingJobStatus is, for those secondary statuses that end a job or are on the way.
STATUSES = {
    "Completed": "Completed",
    "Failed": "Failed",
    "Stopped": "Stopped",
    "MaxRuntimeExceeded": "Stopped",
    "Stopping": "Stopping",
}


@dataclass
class Transition:
    """One secondary status, from when to when."""

    status: str
    start: datetime
    end: datetime | None = None


@dataclass
class Record:
    """The life of one job so far."""

    job: TrainingJob
    on_status: Callable[[str, str], None]
    transitions: list[Transition] = field(init=False, default_factory=list)
    metrics: dict[str, tuple[float, datetime]] = field(default_factory=dict)
    # By host, one mapping for each attempt.
    codes: list[dict[str, int]] = field(default_factory=list)
    failure: str | None = None

    def __post_init__(self) -> None:
        self.enter("Starting")

    def enter(self, status: str) -> None:
        """Begin a secondary status; it ends the former one."""
        now = datetime.now(UTC)
        if self.transitions:
            self.transitions[-1].end = now
        ended = STATUSES.get(status) in {"Completed", "Failed", "Stopped"}
        self.transitions.append(Transition(status, now, now if ended else None))
        self.on_status(status, MESSAGES[status])

    @property
    def secondary_status(self) -> str:
        """The newest secondary status."""
        return self.transitions[-1].status

    @property
    def status(self) -> str:
        """TrainingJobStatus."""
        return STATUSES.get(self.secondary_status, "InProgress")

    @property
    def training_start(self) -> datetime | None:
        """When the first attempt began its download, where the platform begins to count."""
        return next((t.start for t in self.transitions if t.status == "Downloading"), None)
