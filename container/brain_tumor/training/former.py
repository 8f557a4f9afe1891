"""The model of a former job, from which incremental training goes on: the channel `model`."""

import logging
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.artifact import MODEL_INFO_FILE, ModelInfo, load_info, load_weights
from brain_tumor.errors import ArtifactError, DataError
from brain_tumor.training.hyperparameters import Hyperparameters

log = logging.getLogger(__name__)

_TARBALL = "model.tar.gz"
_SUFFIXES = (".tar.gz", ".tgz", ".tar")


@dataclass(frozen=True)
class FormerModel:
    """What a former job left."""

    info: ModelInfo
    weights: list[NDArray[np.float32]]
    """In the order of `keras.Model.weights`."""

    def origin(self) -> dict[str, Any]:
        """Return what the new model's `model.json` says of it."""
        return {
            "created": self.info.created.isoformat(),
            "fingerprint": self.info.data.get("fingerprint"),
        }


def read_former(
    channel: Path, parameters: Hyperparameters, class_names: Sequence[str]
) -> FormerModel:
    """Read the model in a channel: the files of `model/`, or the model.tar.gz made of them.

    A tarball is unpacked into a scratch folder, for a channel is the caller's own and may be
    read-only. The size of the images may differ from the former job's.

    Args:
        channel: folder of the channel.
        parameters: `backbone` must be the former one.
        class_names: those of this job; they must be the former ones in the same order.

    Raises:
        DataError: the channel holds no model or several, or one of other classes or another
            backbone.
    """
    try:
        with _model_dir(channel) as model_dir:
            info = load_info(model_dir)
            _require_the_same(info, parameters, class_names)
            former = FormerModel(info, load_weights(model_dir))
    except (DataError, ArtifactError) as error:
        raise DataError(f"Channel model: {error}") from error
    log.warning(
        "Training goes on from the model of %s. Which scans that was trained on is not known here: "
        "where scans of val or test are among them, the figures are too good",
        former.info.created.isoformat(),
    )
    return former


def _require_the_same(
    info: ModelInfo, parameters: Hyperparameters, class_names: Sequence[str]
) -> None:
    backbone = info.hyperparameters.get("backbone")
    if backbone != parameters.backbone:
        raise DataError(
            f"the former model's backbone is {backbone}, this job's is {parameters.backbone}. "
            f"Training can only go on with the same one: set backbone={backbone}, or leave the "
            "channel out."
        )
    if info.class_names != list(class_names):
        raise DataError(
            f"the former model tells apart {', '.join(info.class_names)}; the scans of this job "
            f"are of {', '.join(class_names)}. Wanted the same names in the same order. Usual "
            "cause: a class folder that is missing or spelt differently."
        )


@contextmanager
def _model_dir(channel: Path) -> Iterator[Path]:
    """Give the folder that holds model.json; one that lies unpacked goes before a tarball."""
    folders = sorted(file.parent for file in channel.rglob(MODEL_INFO_FILE))
    if folders:
        yield _the_only(folders, channel)
        return
    tarballs = sorted(file for file in channel.rglob("*") if file.name.endswith(_SUFFIXES))
    # SageMaker's local mode puts an output.tar.gz beside it.
    named = [file for file in tarballs if file.name == _TARBALL]
    tarball = _the_only(named or tarballs, channel)
    with TemporaryDirectory(prefix="former-model-") as scratch:
        _unpack(tarball, Path(scratch))
        unpacked = [file.parent for file in Path(scratch).rglob(MODEL_INFO_FILE)]
        yield _the_only(unpacked, tarball)


def _the_only(found: Sequence[Path], place: Path) -> Path:
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"{place} holds {len(found) or 'no'} models{''.join(f', {each}' for each in found)}. "
        f"Wanted one: the files that `train` left in model/, or the {_TARBALL} made of them. Usual "
        "cause: an S3Uri of the channel that names another folder, or InstanceGroupNames of the "
        "channel that leave this host's group out."
    )


def _unpack(tarball: Path, scratch: Path) -> None:
    try:
        with tarfile.open(tarball) as archive:
            # "data" refuses what would lie outside, devices, and links that lead outside.
            archive.extractall(scratch, filter="data")
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"{tarball.name} cannot be unpacked: {error}.") from error
