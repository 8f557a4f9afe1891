"""The way into a training job: makes sure that sagemaker-training can start, then becomes it.

The toolkit's `train` (5.1.4) reads its three files before it calls anything of ours. When one is
missing, or output/failure cannot be written, it ends with exit code 0 and no word, which the
platform takes for success; so that is found out here.
"""

import importlib.util
import json
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from brain_tumor.errors import BrainTumorError, DataError, HyperparameterError
from brain_tumor.training.stop import hold_back, let_through

log = logging.getLogger(__name__)

_MODULE = "brain_tumor.training.run:main"
_CONFIG_FILES = ("resourceconfig.json", "hyperparameters.json", "inputdataconfig.json")


def launch(base_dir: Path, arguments: Sequence[str] = ()) -> NoReturn:
    """Replace this process by the toolkit's `train`, so that PID 1 is the one that gets SIGTERM.

    Args:
        base_dir: /opt/ml, or the folder that stands for it.
        arguments: what stood after `train`, of which it takes none.

    Raises:
        BrainTumorError: there are arguments, or the folder is not laid out as the platform lays it
            out; the sentence stands in output/failure too, where that can be written.
    """
    hold_back()
    try:
        _check_folders(base_dir)
        _refuse_arguments(arguments)
        _check_config(base_dir / "input" / "config")
        toolkit = _toolkit()
    except (BrainTumorError, OSError) as error:
        with suppress(OSError):
            (base_dir / "output" / "failure").write_text(f"{error}\n")
        let_through()
        raise
    os.environ["SAGEMAKER_TRAINING_MODULE"] = _MODULE
    os.execv(toolkit, [toolkit])  # noqa: S606 - no shell, and nothing from outside in it


def _refuse_arguments(arguments: Sequence[str]) -> None:
    if arguments:
        raise HyperparameterError(
            f"train takes no arguments, but was given: {' '.join(arguments)}. Hyperparameters "
            "stand in input/config/hyperparameters.json (HyperParameters of the job). Usual "
            "cause: ContainerArguments that were meant for a script of one's own."
        )


def _check_folders(base_dir: Path) -> None:
    # `code` is empty here, but the toolkit makes it as it is imported, and ends with a traceback
    # where it cannot.
    for name in ("output", "model", "code"):
        folder = base_dir / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"{folder} cannot be made by user {os.getuid()}: {error}. Usual cause: "
                f"{base_dir} belongs to root, and the container runs as another user."
            ) from error
        if name != "code" and not os.access(folder, os.W_OK):
            raise DataError(
                f"{folder} cannot be written by user {os.getuid()}. Usual cause: the folder "
                "belongs to root, and the container runs as another user."
            )


def _check_config(config: Path) -> None:
    if not (config / "resourceconfig.json").is_file():
        raise DataError(
            f"{config / 'resourceconfig.json'} does not exist. Wanted the folder that SageMaker "
            "mounts as /opt/ml; local_test/test_dir is an example. Usual cause: no such folder is "
            "mounted as /opt/ml, or SAGEMAKER_BASE_DIR does not name one."
        )
    for name in _CONFIG_FILES[1:]:
        if not (config / name).exists():
            # A job may have none; the toolkit wants the file all the same.
            (config / name).write_text("{}\n")
    # The platform may put others beside them, which nobody reads.
    documents = {name: _read_object(config / name) for name in _CONFIG_FILES}
    script = documents["hyperparameters.json"].get("sagemaker_program")
    if script is not None:
        # SDK 2 adds it to every job of a framework's estimator; it may be meant or not.
        log.warning(
            "The script %s (hyperparameter sagemaker_program) is not run: `train` trains this "
            "image's own recipe. docs/training.md says how a script of one's own is run",
            script,
        )


def _read_object(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(
            f"{file} is no JSON: {error}. Usual cause: a file edited by hand."
        ) from error
    if not isinstance(document, dict):
        raise DataError(f"{file} holds {type(document).__name__}; wanted a JSON object.")
    return document


def _toolkit() -> str:
    """Find the toolkit's script, which is not the `train` that stands first on the image's PATH."""
    beside = Path(sys.executable).parent / "train"
    found = str(beside) if beside.exists() else shutil.which("train")
    # Without the toolkit, the `train` on PATH is the one that called this.
    if found is None or importlib.util.find_spec("sagemaker_training") is None:
        raise BrainTumorError(
            "sagemaker-training is not installed. Usual cause: the image that only serves; the "
            "full one trains."
        )
    return found
