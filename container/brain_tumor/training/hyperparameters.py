"""The hyperparameters of a training job: names, types, ranges and defaults."""

import difflib
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from brain_tumor.errors import HyperparameterError

Backbone = Literal["lite0", "small", "efficientnetv2-b0", "efficientnetv2-s", "convnext-tiny"]

_FROM_SCRATCH_RATE, _FINE_TUNING_RATE = 2e-3, 2.5e-4
_FROM_SCRATCH_EPOCHS, _FINE_TUNING_EPOCHS = 100, 22
_FROM_SCRATCH_MEMBERS, _FINE_TUNING_MEMBERS = 1, 2
_LESSONS = 5
# Fewer than three epochs a member teach too little to be averaged.
_FEWEST_EPOCHS_OF_A_SOUP = 6


def _dashed(name: str) -> str:
    return name.replace("_", "-")


class _ContradictionError(ValueError):
    """Hyperparameters that do not go together; `key` is the one to change."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class Hyperparameters(BaseModel):
    """One field a hyperparameter; all arrive as strings and all are optional."""

    model_config = ConfigDict(
        alias_generator=_dashed,
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
    )
    members: int | None = Field(
        default=None,
        ge=1,
        le=16,
        description="Trainings from the same start whose weights are averaged; default 2 from "
        "pretrained weights (1 below 6 epochs), 1 from scratch.",
    )
    lessons: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="Epochs in which the mean learns what the members say together; default 5, 0 "
        "for one member.",
    )
    batch_size: int = Field(default=32, ge=1, le=4096, description="Scans a training step.")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Peak of the cosine schedule, after warm-up; default 0.00025 from pretrained "
        "weights, 0.002 from scratch.",
    )
    weight_decay: float = Field(default=0.02, ge=0, le=1, description="AdamW's weight decay.")
    label_smoothing: float = Field(default=0.05, ge=0, lt=1, description="Softening of labels.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of features left out.")
    image_size: int = Field(
        default=208, ge=32, le=512, description="Height and width of the network's input, pixels."
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
    )
    pretrained: bool | None = Field(
        default=None,
        description="Start from ImageNet weights; default: where the backbone has them. Those of "
        "keras.applications come by the channel `pretrained`.",
    )
    augment: bool = Field(default=True, description="Vary scans at random while training.")
    mixed_precision: bool | None = Field(
        default=None,
        description="Compute in bfloat16 (float16 on a GPU) while training; default: on a GPU.",
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

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true_as_a_number(cls, value: Any, field: ValidationInfo) -> Any:
        wanted = cls.model_fields[str(field.field_name)].annotation
        if isinstance(value, bool) and wanted not in (bool, bool | None):
            raise ValueError("Input should be a number or a name, not true or false")
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
    def starts_pretrained(self) -> bool:
        """Whether training starts from ImageNet weights."""
        return self.backbone != "small" if self.pretrained is None else self.pretrained

    @property
    def most_epochs(self) -> int:
        """The most epochs to train: those given, or the default of the backbone."""
        default = _FINE_TUNING_EPOCHS if self.starts_pretrained else _FROM_SCRATCH_EPOCHS
        return self.epochs or default

    @property
    def most_members(self) -> int:
        """The trainings to average: those given, or the default of the backbone."""
        soup = self.starts_pretrained and self.most_epochs >= _FEWEST_EPOCHS_OF_A_SOUP
        return self.members or (_FINE_TUNING_MEMBERS if soup else _FROM_SCRATCH_MEMBERS)

    @property
    def most_lessons(self) -> int:
        """The epochs of being taught: those given, or the default for so many members."""
        if self.lessons is not None:
            return self.lessons
        return _LESSONS if self.most_members > 1 else 0

    @property
    def peak_rate(self) -> float:
        """The peak of the learning rate: the one given, or the default of the backbone."""
        default = _FINE_TUNING_RATE if self.starts_pretrained else _FROM_SCRATCH_RATE
        return self.learning_rate or default

    def settled(self) -> "Hyperparameters":
        """Return the same with the defaults that follow from the backbone written out."""
        return self.model_copy(
            update={
                "pretrained": self.starts_pretrained,
                "epochs": self.most_epochs,
                "members": self.most_members,
                "lessons": self.most_lessons,
                "learning_rate": self.peak_rate,
            }
        )


def parse_hyperparameters(raw: Mapping[str, Any]) -> Hyperparameters:
    """Read hyperparameters as the platform gives them.

    Values may be strings, quoted or not, or JSON values; underscores and dashes are the same. What
    the platform and its SDKs add (`sagemaker_*`, `_tuning_objective_metric`) is ignored. Defaults
    that follow from the backbone are written out.

    Raises:
        HyperparameterError: an unknown name, or a value of the wrong kind or out of range.
    """
    given: dict[str, Any] = {}
    for name, value in raw.items():
        if name.startswith("sagemaker_") or name == "_tuning_objective_metric":
            continue
        key = _dashed(name)
        if key in given:
            raise HyperparameterError(f"Hyperparameter {key!r} is given twice; give it once.")
        _require_known(name, key)
        given[key] = _unquote(value)
    try:
        # A null stands for a hyperparameter that was left out.
        return Hyperparameters.model_validate(
            {key: value for key, value in given.items() if value not in (None, "None", "null")}
        ).settled()
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else first["ctx"]["error"].key
        raise HyperparameterError(
            f"Hyperparameter {key}={given.get(key)!r} cannot be used: {first['msg']}."
        ) from error


def _unquote(value: Any) -> Any:
    """Take off the quotes that some SDKs leave round a string value."""
    if isinstance(value, str) and len(value) >= 2 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value.strip() if isinstance(value, str) else value


def _require_known(name: str, key: str) -> None:
    known = [_dashed(field) for field in Hyperparameters.model_fields]
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}."
        raise HyperparameterError(f"Unknown hyperparameter {name!r}; {hint}")
