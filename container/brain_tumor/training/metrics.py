"""What a training loop measures each epoch, and the lines that say it to the platform."""

from dataclasses import asdict, dataclass, field, fields

from brain_tumor.training.precision import Precision


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; the names are those of the metric lines."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float

    def is_better_than(self, other: "Epoch") -> bool:
        """Whether more validation scans are right; where as many are, whether the loss is lower.

        Not the loss alone: as a network learns the training scans by heart it grows too sure of
        itself, and the loss rises while more and more scans are right (Guo et al. 2017, arXiv
        1706.04599). The temperature, fitted after training, takes that sureness back.
        """
        return (self.val_accuracy, -self.val_loss) > (other.val_accuracy, -other.val_loss)

    def metric_line(self) -> str:
        """The line that SageMaker's metric definitions match: `name=value;` for each figure."""
        return " ".join(f"{name}={value:.6g};" for name, value in asdict(self).items())


ASKED_TO_STOP = "asked to stop"
"""Why a loop ended that SIGTERM ended."""

TOLERANCE = 0.02
"""Accuracies on a few hundred validation scans that are closer than this cannot be told apart."""


@dataclass(frozen=True)
class Fit:
    """A finished training loop; the network holds the weights of `kept`."""

    epochs: list[Epoch]
    kept: Epoch
    ended: str
    """Why it ended, for people."""
    steps: int = 0
    """Steps that it took."""


@dataclass(frozen=True)
class Validation:
    """What a network gives on the val channel; the loss is before calibration."""

    loss: float
    accuracy: float

    def metric_line(self) -> str:
        """The line that says what the finished model gives.

        Its names are those of an epoch's figures: a tuning job compares the latest that were
        printed, and these need not be of the epoch that is kept.
        """
        return f"val_loss={self.loss:.6g}; val_accuracy={self.accuracy:.6g};"


@dataclass(frozen=True)
class Training:
    """A finished training: one loop, or one for each member of a soup and what was made of them."""

    members: list[Fit]
    """In the order in which they ran; epochs are numbered through all loops."""
    mean: Validation | None
    """What the members' mean gave; None where there was one member, or an early stop."""
    kept: Fit | None
    """The loop whose epoch the network holds; None: it holds the members' mean."""
    taught: Fit | None = None
    """The loop in which the mean learnt from its members, where there was one."""
    precision: Precision = field(default_factory=Precision)
    """How the steps were computed."""

    @property
    def loops(self) -> list[Fit]:
        """All loops, in the order in which they ran."""
        return self.members if self.taught is None else [*self.members, self.taught]

    @property
    def epochs(self) -> list[Epoch]:
        """The epochs of all loops."""
        return [epoch for fitted in self.loops for epoch in fitted.epochs]

    @property
    def kept_epochs(self) -> list[int]:
        """The epoch whose weights the network holds, or those whose mean it holds."""
        kept = self.members if self.kept is None else [self.kept]
        return [fitted.kept.epoch for fitted in kept]

    @property
    def validation(self) -> Validation:
        """What the weights that are kept gave."""
        if self.kept is None and self.mean is not None:
            return self.mean
        epoch = (self.kept or self.members[0]).kept
        return Validation(epoch.val_loss, epoch.val_accuracy)

    @property
    def ended(self) -> str:
        """Why the last loop ended, for people."""
        return self.loops[-1].ended


TEST_ACCURACY = "test_accuracy"
"""Printed once, when the finished model has been evaluated on the test channel."""

LEAK_FREE_ACCURACY = "test_accuracy_leak_free"
"""Printed beside it, the same where no scan leaks: on those that nothing in training resembles."""

METRIC_NAMES = (
    *(field.name for field in fields(Epoch) if field.name != "epoch"),
    TEST_ACCURACY,
    LEAK_FREE_ACCURACY,
)
"""No name ends another, so that no definition matches another's figure."""

METRIC_DEFINITIONS = [{"Name": name, "Regex": f"{name}=([-+0-9.eE]+);"} for name in METRIC_NAMES]
"""For SageMaker's AlgorithmSpecification.MetricDefinitions."""
