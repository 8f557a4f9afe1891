"""The model folder (/opt/ml/model): written whole or not at all, and read back.

1/                 SavedModel in TensorFlow Serving's layout
class_names.json   class names in output order
model.json         all that serving needs beside the graph (`ModelInfo`)
check.npz          a few images and what TensorFlow answered to them (`Check`)
"""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brain_tumor.errors import ArtifactError
from brain_tumor.scoring import (
    HeatMapsFn,
    PredictFn,
    Scores,
    ScoresFn,
    as_heat_maps,
    as_predict,
    as_scores,
    scores_of,
)

if TYPE_CHECKING:
    import tensorflow as tf

VERSION_FOLDER = "1"
CLASS_NAMES_FILE = "class_names.json"
MODEL_INFO_FILE = "model.json"
CHECK_FILE = "check.npz"
_FORMAT = 1
_INCOMPLETE = ".incomplete-"
SIGNATURES = (
    "serving_default",
    "serving_bytes",
    "serving_scores",
    "serving_first_look",
    "serving_first_look_8bit",
    "serving_heat_map",
)
"""Names of the functions of a servable; it may lack all but the first two."""
CLEAR = 0.9
"""What is less probable than this is looked at again."""


class Check(NamedTuple):
    """Images and the answers that were recorded when the model was saved.

    An engine that answers otherwise must not serve the model, so it is compared at every start.
    """

    images: NDArray[np.uint8]
    """(n, size, size), 0-255."""
    probabilities: NDArray[np.float32]
    """(n, classes), by TensorFlow in float32."""
    first_look: Scores | None = None
    """What TensorFlow's `serving_first_look` gave in float32; None from models without."""


class ModelInfo(BaseModel):
    """What `model.json` holds."""

    model_config = ConfigDict(extra="ignore")

    format: int = _FORMAT
    created: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    class_names: list[str]
    image_size: int
    """Height and width of the network's input in pixels; it has one grey channel."""
    second_look_size: int | None = None
    """Height and width to which the mirrored scan is enlarged for a second look, inside the graph,
    where a first one is not clear; None of models that look once."""
    temperature: float
    """What the logits are divided by, inside the graph, so that probabilities are calibrated."""
    thresholds: dict[str, float]
    """`confident`: a prediction whose probability is below it is answered as `uncertain`.
    `foreign`, where the model can tell: a scan whose score is above it as `not_brain_mri`."""
    versions: dict[str, str]
    data: dict[str, Any]
    """Fingerprint (SHA-256 over the training scans' pixels) and counts of each channel."""
    hyperparameters: dict[str, Any]
    metrics: dict[str, Any]


def save(
    model_dir: Path,
    servable: "tf.Module",
    info: ModelInfo,
    check_images: NDArray[np.uint8] | None = None,
) -> None:
    """Write the artifact aside, inside `model_dir`, then move it into place.

    A failure before the move leaves nothing behind. Files are readable by every user, since
    serverless endpoints do not run as root (contract: image duty).

    Args:
        model_dir: the folder to fill; former files of the same names are replaced.
        servable: a module with the functions `serving_default` and `serving_bytes`, and
            those others of `SIGNATURES` that the model has.
        info: the content of `model.json`.
        check_images: (n, size, size), the images of the check; no scan of a patient.
    """
    import tensorflow as tf

    model_dir.mkdir(parents=True, exist_ok=True)
    aside = model_dir / f"{_INCOMPLETE}{os.getpid()}"
    try:
        signatures = {
            name: getattr(servable, name) for name in SIGNATURES if hasattr(servable, name)
        }
        tf.saved_model.save(servable, str(aside / VERSION_FOLDER), signatures=signatures)
        (aside / CLASS_NAMES_FILE).write_text(json.dumps(info.class_names) + "\n")
        (aside / MODEL_INFO_FILE).write_text(info.model_dump_json(indent=2) + "\n")
        names = [VERSION_FOLDER, CLASS_NAMES_FILE, MODEL_INFO_FILE]
        if check_images is not None:
            _write_check(aside / CHECK_FILE, servable, check_images)
            names.insert(0, CHECK_FILE)
        _make_readable(aside)
        # model.json goes last, and a former one first: a folder that has it is complete.
        (model_dir / MODEL_INFO_FILE).unlink(missing_ok=True)
        (model_dir / CHECK_FILE).unlink(missing_ok=True)
        for name in names:
            _replace(aside / name, model_dir / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(model_dir: Path) -> None:
    """Remove what a run left half-written that was killed while it saved."""
    for aside in model_dir.glob(f"{_INCOMPLETE}*"):
        shutil.rmtree(aside, ignore_errors=True)


def load_info(model_dir: Path) -> ModelInfo:
    """Read `model.json` without TensorFlow.

    Raises:
        ArtifactError: the folder or a file of it is missing or of another format.
    """
    graph = model_dir / VERSION_FOLDER / "saved_model.pb"
    for file in (model_dir / MODEL_INFO_FILE, graph):
        if not file.is_file():
            found = sorted(entry.name for entry in model_dir.glob("*")) or "nothing"
            raise ArtifactError(
                f"{file} does not exist ({model_dir} holds: {found}). Wanted the folder that "
                "`train` left in model/. Usual cause: nothing, another folder or a model.tar.gz "
                "that was not unpacked is mounted there."
            )
    file = model_dir / MODEL_INFO_FILE
    try:
        document = json.loads(file.read_bytes())
        written = document.get("format") if isinstance(document, dict) else None
        if written not in (None, _FORMAT):
            raise ArtifactError(
                f"{file} has format {written}; this version reads {_FORMAT}. Usual cause: a model "
                "trained with another version of the image."
            )
        return ModelInfo.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        cause = f"{first['msg']} (at {first['loc']})"
        raise ArtifactError(_unreadable(file, cause)) from error
    except ValueError as error:
        raise ArtifactError(_unreadable(file, str(error))) from error


def load_check(model_dir: Path) -> Check | None:
    """Read `check.npz`; None where the model was saved without one.

    Raises:
        ArtifactError: the file is damaged.
    """
    file = model_dir / CHECK_FILE
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            first_look = None
            if "first_look" in arrays:
                first_look = Scores(arrays["first_look"], arrays["first_look_foreign"])
            return Check(arrays["images"], arrays["probabilities"], first_look)
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise ArtifactError(_unreadable(file, str(error))) from error


def _unreadable(file: Path, cause: str) -> str:
    return f"{file} cannot be read: {cause}. Usual cause: a file edited by hand."


def load_predict(model_dir: Path) -> PredictFn:
    """Load the SavedModel and return its `serving_default` as a function of uint8 pixels.

    Raises:
        ArtifactError: TensorFlow cannot read the SavedModel.
    """
    return as_predict(load_signatures(model_dir)["serving_default"])


def load_scores(model_dir: Path) -> ScoresFn:
    """Load the SavedModel and return its `serving_scores`.

    A model without that signature is read too: no scan looks foreign to it.

    Raises:
        ArtifactError: TensorFlow cannot read the SavedModel.
    """
    return scores_of(load_signatures(model_dir))


def load_heat_maps(model_dir: Path) -> HeatMapsFn | None:
    """Load the SavedModel and return its `serving_heat_map`; None where it has none.

    Raises:
        ArtifactError: TensorFlow cannot read the SavedModel.
    """
    signature = load_signatures(model_dir).get("serving_heat_map")
    return as_heat_maps(signature) if signature else None


def load_weights(model_dir: Path) -> list[NDArray[np.float32]]:
    """Read the weights of the saved network, in the order of `keras.Model.weights`.

    They are the list `weights` of what was saved; its graph is not loaded.

    Raises:
        ArtifactError: TensorFlow cannot read them, or they were saved in another way.
    """
    import tensorflow as tf

    folder = model_dir / VERSION_FOLDER / "variables"
    try:
        variables = tf.train.load_checkpoint(str(folder / "variables"))
        count = sum(name.startswith("weights/") for name in variables.get_variable_to_shape_map())
        return [
            variables.get_tensor(f"weights/{number}/.ATTRIBUTES/VARIABLE_VALUE")
            for number in range(count)
        ]
    # A damaged file raises whatever its reader trips over; the cause is in the message.
    except Exception as error:
        raise ArtifactError(f"The weights in {folder} cannot be read: {error}") from error


def load_signatures(model_dir: Path) -> dict[str, Callable[..., dict[str, "tf.Tensor"]]]:
    """Load the SavedModel's signatures; one of images takes them float32 (n, size, size, 1).

    Raises:
        ArtifactError: TensorFlow cannot read the SavedModel.
    """
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(model_dir / VERSION_FOLDER))
        signatures = dict(loaded.signatures)
        _ = signatures["serving_default"]
    # A damaged SavedModel raises whatever its reader trips over; the cause is in the message.
    except Exception as error:
        raise ArtifactError(
            f"The SavedModel in {model_dir / VERSION_FOLDER} cannot be read: {error}"
        ) from error

    # A signature holds its variables weakly; without this they would be gone.
    for signature in signatures.values():
        signature.loaded = loaded
    return signatures


def _write_check(file: Path, servable: "tf.Module", images: NDArray[np.uint8]) -> None:
    arrays: dict[str, Any] = {"images": images}
    arrays["probabilities"] = as_predict(servable.serving_default)(images)
    if hasattr(servable, "serving_first_look"):
        first_look = as_scores(servable.serving_first_look)(images)
        arrays["first_look"], arrays["first_look_foreign"] = first_look
    np.savez_compressed(file, **arrays)


def _replace(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()
    source.rename(target)


def _make_readable(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
