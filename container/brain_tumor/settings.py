"""Settings from the environment: the only place that reads it.

Hyperparameters are no settings: they belong to one training job and live in
`training.hyperparameters`.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from brain_tumor.errors import SettingsError
from brain_tumor.logs import LogFormat

EngineName = Literal["auto", "openvino", "tensorflow"]
Precision = Literal["auto", "float32", "bfloat16", "int8"]
DicomFrames = Literal["all", "middle"]


class Settings(BaseSettings):
    """What an operator may set; every field's description says what it does."""

    model_config = SettingsConfigDict(
        env_prefix="BRAIN_TUMOR_", env_ignore_empty=True, allow_inf_nan=False
    )

    base_dir: Path = Field(
        default=Path("/opt/ml"),
        validation_alias="SAGEMAKER_BASE_DIR",
        description="Stands for /opt/ml outside the image.",
    )
    warm_pool_cache: Path | None = Field(
        default=None,
        validation_alias="SAGEMAKER_MANAGED_WARMPOOL_CACHE_DIRECTORY",
        description="Outlives a training job; `train` keeps its search for copies there.",
    )
    port: int = Field(
        default=8080,
        ge=1,
        le=65535,
        validation_alias=AliasChoices("SAGEMAKER_BIND_TO_PORT", "PORT"),
        description="Port that `serve` listens on; SAGEMAKER_BIND_TO_PORT wins over PORT.",
    )
    host: str = Field(
        default="0.0.0.0",  # noqa: S104 - the platform connects from outside the container
        description="Address that `serve` listens on.",
    )
    model_name: str = Field(
        default="brain-tumor",
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="Name of the model in the routes of KServe and TensorFlow Serving, /v1/models.",
    )
    multi_model: bool = Field(
        default=False,
        validation_alias="SAGEMAKER_MULTI_MODEL",
        description="Serve many models, loaded and unloaded by /models.",
    )
    memory_mb: float | None = Field(
        default=None,
        gt=0,
        description="Memory of a multi-model endpoint; default: what the container is allowed.",
    )
    engine: EngineName = Field(
        default="auto", description="Inference engine; auto takes the fastest one there is."
    )
    precision: Precision = Field(
        default="auto",
        description="Arithmetic of first looks; auto takes the fastest that holds its check.",
    )
    cores: int | None = Field(
        default=None,
        ge=1,
        description="Threads of one prediction; default: the cores that the container is allowed.",
    )
    log_format: LogFormat = Field(
        default="text",
        description="What `serve` logs: text for people, or json, an object a line.",
    )
    threads: int = Field(
        default=128, ge=2, le=1024, description="Requests that `serve` handles at the same time."
    )
    hang_seconds: float = Field(
        default=30,
        gt=0,
        description="A prediction or heat map that runs longer makes /ping answer 503.",
    )
    stall_seconds: float = Field(
        # Callers of InvokeEndpoint have given up after 60 s: nobody waits for such an answer.
        default=60,
        ge=0.1,
        le=3600,
        description="A client that neither sends nor takes anything for so long is hung up on.",
    )
    drain_seconds: int = Field(
        default=6, ge=1, description="How long requests in flight may go on after SIGTERM."
    )
    max_body_mb: float = Field(
        default=100, gt=0, description="Request bodies above this many MB are answered 413."
    )
    max_images: int = Field(
        default=10_000, ge=1, description="Requests with more images than this are answered 413."
    )
    max_megapixels: float = Field(
        # Pillow itself refuses more than 178 million.
        default=50,
        gt=0,
        le=178,
        description="Images above this many million pixels are refused.",
    )

    cluster_port: int = Field(
        default=8890,
        ge=1,
        le=65534,
        description="Port on which TensorFlow's workers talk to each other when several hosts "
        "train together; what else they have to say goes to the chief's next port.",
    )
    cluster_addresses: dict[str, str] = Field(
        default={},
        description="JSON: host name -> name:port to reach it by, where the names of "
        "resourceconfig.json cannot be resolved, as on one machine.",
    )
    cluster_wait_seconds: float = Field(
        # As long as AWS's own toolkit: hosts pull the image and the data at their own speed.
        default=900,
        gt=0,
        description="How long a host waits for the others at the start.",
    )
    cluster_silence_seconds: float = Field(
        default=40,
        ge=2,
        description="A host of which nothing is heard for so long is given up.",
    )
    batch: bool = Field(
        default=False,
        validation_alias="SAGEMAKER_BATCH",
        description="Set by Batch Transform: a bad line of JSON Lines never costs the whole file.",
    )
    dicom_frames: DicomFrames = Field(
        default="all", description="Frames of a DICOM file that are predicted."
    )

    @property
    def model_dir(self) -> Path:
        """The folder that holds the model artifact."""
        return self.base_dir / "model"

    @property
    def models_dir(self) -> Path:
        """The folder below which the models of a multi-model endpoint lie."""
        return self.base_dir / "models"

    @property
    def max_pixels(self) -> int:
        """The largest image that is decoded, in pixels."""
        return int(self.max_megapixels * 1_000_000)


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a variable holds a value of the wrong kind; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        # Of a field's several variables pydantic names the first, whichever was set.
        if name == "SAGEMAKER_BIND_TO_PORT" and not os.environ.get(name):
            name = "PORT"
        field = name if name.isupper() else f"BRAIN_TUMOR_{name.upper()}"
        raise SettingsError(
            f"Environment variable {field}={first['input']!r} cannot be used: {first['msg']}."
        ) from error
