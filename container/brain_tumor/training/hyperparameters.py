"""The hyperparameters of a training job: names, types, ranges and defaults."""

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from brain_tumor.training.hyperparameter_schema import choices, tuning

Backbone = Literal["lite0", "small", "efficientnetv2-b0", "efficientnetv2-s", "convnext-tiny"]

_FROM_SCRATCH_RATE, _FINE_TUNING_RATE = 2e-3, 2.5e-4
_FROM_SCRATCH_EPOCHS, _FINE_TUNING_EPOCHS = 100, 22
_FROM_SCRATCH_MEMBERS, _FINE_TUNING_MEMBERS = 1, 2
_LESSONS = 5
# Fewer than three epochs a member teach too little to be averaged.
_FEWEST_EPOCHS_OF_A_SOUP = 6


def dashed(name: str) -> str:
    """Return a name as it is listed; underscores are accepted too."""
    return name.replace("_", "-")


class _ContradictionError(ValueError):
    """Hyperparameters that do not go together; `key` is the one to change."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Hyperparameters(BaseModel):
    """One field a hyperparameter; all arrive as strings and all are optional."""

    model_config = ConfigDict(
        alias_generator=dashed,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
    )

    epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Most epochs to train; default 22 from pretrained weights, 100 from scratch; "
        "the members share them.",
        json_schema_extra=tuning("Linear", 5, 50),
    )
    members: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="Trainings from the same start whose weights are averaged; default 2 from "
        "pretrained weights (1 below 6 epochs), 1 from scratch.",
        json_schema_extra=tuning("Linear", 1, 3),
    )
    lessons: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Epochs in which the mean learns what the members say together; default 5, 0 "
        "for one member.",
    )
    batch_size: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="Scans a training step, on all workers together.",
        json_schema_extra=tuning("Logarithmic", 8, 128),
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Peak of the cosine schedule, after warm-up; default 0.00025 from pretrained "
        "weights, 0.002 from scratch.",
        json_schema_extra=tuning("Logarithmic", 1e-5, 1e-2),
    )
    weight_decay: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="AdamW's weight decay.",
        json_schema_extra=tuning("Logarithmic", 1e-4, 0.2),
    )
    label_smoothing: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="Softening of labels.",
        json_schema_extra=tuning("Linear", 0, 0.2),
    )
    dropout: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Share of features left out.",
        json_schema_extra=tuning("Linear", 0, 0.5),
    )
    image_size: int = Field(
        default=208,
        ge=32,
        le=512,
        description="Height and width of the network's input, pixels.",
        json_schema_extra=tuning("Linear", 128, 256),
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seed of all that is random.")
    patience: int | None = Field(
        default=None,
        ge=1,
        description="Epochs without a better validation accuracy before stopping; default: never, "
        "for much is learnt while the learning rate falls at the end.",
    )
    backbone: Backbone = Field(
        default="lite0",
        description="Which network is trained: lite0 (EfficientNet-Lite0, ImageNet weights in the "
        "image), small (from scratch), or one of keras.applications.",
        json_schema_extra=choices("lite0", "small"),
    )
    pretrained: bool | None = Field(
        default=None,
        description="Start from ImageNet weights; default: where the backbone has them. Those of "
        "keras.applications come by the channel `pretrained`.",
    )
    augment: bool = Field(
        default=True,
        description="Vary scans at random while training.",
        json_schema_extra=choices("true", "false"),
    )
    mixed_precision: bool | None = Field(
        default=None,
        description="Compute in bfloat16 (float16 on GPUs before Ampere) while training; default: "
        "on GPUs since Volta, and on a processor with bfloat16 where it is measured to be faster.",
    )
    time_budget_minutes: float = Field(
        default=28,
        gt=0,
        description="End the job, evaluation included, within this time; the learning rate's "
        "schedule is fitted to it.",
    )
    validation_share: float = Field(
        default=0.15, gt=0, lt=0.9, description="Split off `train` when there is no `val` channel."
    )

    _continues: bool = PrivateAttr(default=False)

    def model_post_init(self, context: Any) -> None:
        """Note whether training goes on from a former model; see `hyperparameter_parsing`."""
        self._continues = bool(context and context["continues"])

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true_as_a_number(cls, value: Any, field: ValidationInfo) -> Any:
        wanted = cls.model_fields[str(field.field_name)].annotation
        if isinstance(value, bool) and wanted not in (bool, bool | None):
            raise ValueError("true and false are no number and no name")
        return value

    @model_validator(mode="after")
    def _require_weights_that_exist(self) -> Self:
        if self.backbone == "small" and self.pretrained:
            raise _ContradictionError(
                "pretrained", "backbone 'small' has no pretrained weights; leave pretrained out"
            )
        if self.backbone == "lite0" and self.pretrained is False:
            raise _ContradictionError(
                "pretrained",
                "backbone 'lite0' is trained from its ImageNet weights only; backbone=small is the "
                "one that is trained from scratch",
            )
        return self

    @model_validator(mode="after")
    def _require_an_epoch_for_each_member(self) -> Self:
        if self.members and self.members > self.most_epochs:
            raise _ContradictionError(
                "members",
                f"every member wants an epoch at least; epochs is {self.most_epochs}",
            )
        return self

    @model_validator(mode="after")
    def _require_members_to_learn_from(self) -> Self:
        if self.lessons and self.most_members == 1:
            raise _ContradictionError(
                "lessons", "one member has no others to learn from; leave it out or raise members"
            )
        return self

    @property
    def continues(self) -> bool:
        """Whether training starts from a former model, its head included."""
        return self._continues

    @property
    def starts_pretrained(self) -> bool:
        """Whether training starts from ImageNet weights, with a new head."""
        if self.continues:
            return False
        return self.backbone != "small" if self.pretrained is None else self.pretrained

    @property
    def fine_tunes(self) -> bool:
        """Whether training starts from any weights that were trained before."""
        return self.continues or self.starts_pretrained

    @property
    def most_epochs(self) -> int:
        """The most epochs to train: those given, or the default of the start."""
        return self.epochs or (_FINE_TUNING_EPOCHS if self.fine_tunes else _FROM_SCRATCH_EPOCHS)

    @property
    def most_members(self) -> int:
        """The trainings to average: those given, or the default of the start."""
        soup = self.fine_tunes and self.most_epochs >= _FEWEST_EPOCHS_OF_A_SOUP
        return self.members or (_FINE_TUNING_MEMBERS if soup else _FROM_SCRATCH_MEMBERS)

    @property
    def most_lessons(self) -> int:
        """The epochs of being taught: those given, or the default for so many members."""
        if self.lessons is not None:
            return self.lessons
        return _LESSONS if self.most_members > 1 else 0

    @property
    def peak_rate(self) -> float:
        """The peak of the learning rate: the one given, or the default of the start."""
        return self.learning_rate or (_FINE_TUNING_RATE if self.fine_tunes else _FROM_SCRATCH_RATE)

    def settled(self) -> "Hyperparameters":
        """Return the same with the defaults that follow from the start written out."""
        return self.model_copy(
            update={
                "pretrained": self.pretrained if self.continues else self.starts_pretrained,
                "epochs": self.most_epochs,
                "members": self.most_members,
                "lessons": self.most_lessons,
                "learning_rate": self.peak_rate,
            }
        )
