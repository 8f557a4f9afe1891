"""The folder of checkpoints (/opt/ml/checkpoints): each written whole or not at all, two kept.

SageMaker copies the folder to S3 while the job runs and back before a job that was interrupted
begins again. It may copy a file that is not finished yet, and files in any order; so each
checkpoint is one file that holds everything. It is NumPy's .npz: arrays beside a JSON document, in
a zip whose CRC-32 of each member tells a damaged file from a good one. TensorFlow's own format is
several files that fit together or do not, and knows nothing of what lies outside of the graph.
"""

import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

import brain_tumor
from brain_tumor.data.table import ScanTable
from brain_tumor.errors import CheckpointError
from brain_tumor.training.agreement import differences
from brain_tumor.training.channels import Channels
from brain_tumor.training.failure import writing_to
from brain_tumor.training.former import FormerModel
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import Epoch, Fit
from brain_tumor.training.precision import Precision
from brain_tumor.training.record import LoopState, Past, Weights
from brain_tumor.training.schedule import Position

log = logging.getLogger(__name__)

FORMAT = 2
_KEPT = 2
_NAME, _PATTERN = "brain-tumor-{:09d}.npz", re.compile(r"brain-tumor-\d{9}\.npz")
_INCOMPLETE = ".incomplete-"


class Checkpoints:
    """The checkpoints of one job; their names count the steps taken."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        """Take the folder, and what a checkpoint must agree with to be of this job.

        Args:
            folder: is there already; what a killed run left half-written in it is removed.
            identity: name -> JSON value, such as hyperparameters and fingerprints of the data. On
                many machines it must be the same on all of them.
        """
        self._folder = folder
        self._identity = json.loads(json.dumps(identity))
        self._good: list[Path] = []
        for leftover in folder.glob(f"{_INCOMPLETE}*"):
            leftover.unlink(missing_ok=True)

    def newest(self) -> Past:
        """Read the newest checkpoint that can be read; nothing done yet where there is none.

        A damaged one is skipped with a warning.

        Raises:
            CheckpointError: it is of another configuration or of other data.
        """
        for file in sorted(self._files(), reverse=True):
            try:
                document, arrays = _read(file)
                past = None if document["identity"] != self._identity else _past(document, arrays)
            except CheckpointError:
                raise
            # A damaged file raises whatever its reader trips over.
            except Exception as error:
                log.warning("Checkpoint %s is damaged and skipped: %s", file, error)
                continue
            if past is None:
                listed = differences(document["identity"], self._identity, "there", "here")
                raise CheckpointError(
                    f"Checkpoint {file} is of another job, so it is not loaded: {listed}. "
                    f"{_WHAT_TO_DO}"
                )
            log.info("Training goes on from checkpoint %s", file)
            self._good = [file]
            return past
        return Past()

    def write(self, past: Past) -> None:
        """Write a checkpoint aside, then give it its name; all but the last two good ones go.

        Raises:
            DiskFullError: nothing is left behind then, and the former ones stay.
        """
        with writing_to(self._folder):
            self._write(past)

    def _write(self, past: Past) -> None:
        steps = sum(fitted.steps for fitted, _ in past.finished)
        file = self._folder / _NAME.format(steps + (past.loop.position.step if past.loop else 0))
        aside = self._folder / f"{_INCOMPLETE}{os.getpid()}.npz"
        try:
            with aside.open("wb") as stream:
                np.savez(stream, **_arrays(past, self._identity))
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)
        _sync_folder(self._folder)
        self._good = [*(good for good in self._good if good != file), file][-_KEPT:]
        for old in self._files():
            if old not in self._good:
                old.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return [file for file in self._folder.glob("*.npz") if _PATTERN.fullmatch(file.name)]


def identity_of(
    channels: Channels, parameters: Hyperparameters, former: FormerModel | None
) -> dict[str, Any]:
    """Say what a training depends on; a checkpoint in which any of it differs is of another job.

    Args:
        channels: the scans.
        parameters: what the job asks for.
        former: the model that training goes on from.
    """
    return {
        "version": brain_tumor.__version__,
        "hyperparameter": parameters.model_dump(by_alias=True),
        "class names": channels.class_names,
        "scans": {"of train": _fingerprint(channels.train), "of val": _fingerprint(channels.val)},
        "former model": former.origin() if former else None,
    }


def pack(past: Past) -> bytes:
    """Write what a checkpoint holds as bytes, for hosts that have not got the file."""
    stream = io.BytesIO()
    np.savez(stream, **_arrays(past, {}))
    return stream.getvalue()


def unpack(payload: bytes) -> Past:
    """Read what `pack` wrote."""
    return _past(*_load(io.BytesIO(payload)))


def _fingerprint(table: ScanTable) -> str:
    """SHA-256 over pixels and labels, in the order of the rows that a sampler draws."""
    rows = zip(table.digests, table.labels, strict=True)
    return hashlib.sha256("\n".join(map("/".join, rows)).encode()).hexdigest()


def _arrays(past: Past, identity: Mapping[str, Any]) -> dict[str, Any]:
    groups: dict[str, Weights] = {
        f"finished-{number}": weights for number, (_, weights) in enumerate(past.finished)
    }
    if past.loop:
        groups.update(past.loop.arrays)
    document = {
        "format": FORMAT,
        "identity": identity,
        "seconds": past.seconds,
        "precision": past.precision and asdict(past.precision),
        "finished": [asdict(fitted) for fitted, _ in past.finished],
        "loop": past.loop
        and {
            "epochs": [asdict(epoch) for epoch in past.loop.epochs],
            "best": past.loop.best and asdict(past.loop.best),
            "position": asdict(past.loop.position),
        },
        "arrays": {name: len(weights) for name, weights in groups.items()},
    }
    return {
        "document": np.frombuffer(json.dumps(document).encode(), np.uint8),
        **{
            f"{name}/{place}": array
            for name, weights in groups.items()
            for place, array in enumerate(weights)
        },
    }


def _read(file: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read all of a file, which checks all of it."""
    with file.open("rb") as stream:
        document, arrays = _load(stream)
    if document["format"] != FORMAT:
        raise CheckpointError(
            f"Checkpoint {file} has format {document['format']}; this version reads {FORMAT}. "
            f"Usual cause: the image was exchanged meanwhile. {_WHAT_TO_DO}"
        )
    return document, arrays


def _load(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    with np.load(stream, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop("document").tobytes()), arrays


def _past(document: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Past:
    groups = {
        name: [arrays[f"{name}/{place}"] for place in range(count)]
        for name, count in document["arrays"].items()
    }
    finished = [
        (_fit(entry), groups.pop(f"finished-{number}"))
        for number, entry in enumerate(document["finished"])
    ]
    loop = document["loop"] and LoopState(
        [Epoch(**epoch) for epoch in document["loop"]["epochs"]],
        document["loop"]["best"] and Epoch(**document["loop"]["best"]),
        Position(**document["loop"]["position"]),
        groups,
    )
    precision = document["precision"] and Precision(**document["precision"])
    return Past(document["seconds"], finished, loop, precision)


def _fit(entry: dict[str, Any]) -> Fit:
    epochs = [Epoch(**epoch) for epoch in entry["epochs"]]
    return Fit(epochs, Epoch(**entry["kept"]), entry["ended"], entry["steps"])


_WHAT_TO_DO = (
    "Give this job a checkpoint folder of its own (CheckpointConfig.S3Uri), empty this one, or "
    "give the job what the checkpoint was made with."
)


def _sync_folder(folder: Path) -> None:
    """Let the new name survive a loss of power too; not every file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
