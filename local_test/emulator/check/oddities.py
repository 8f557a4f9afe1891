"""What real jobs have and a simple test has not, by short names."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from local_test.emulator.channels import Channel
from local_test.emulator.check.setting import Setting


@dataclass(frozen=True)
class Oddity:
    """Something that real jobs have and a simple test has not: it may not make a job fail."""

    fields: Callable[[Setting], Mapping[str, Any]] = lambda _setting: {}
    files: Mapping[str, bytes] = field(default_factory=dict)


def _more(**more: str) -> Callable[[Setting], Mapping[str, Any]]:
    return lambda setting: {"hyperparameters": {**setting.hyperparameters, **more}}


def _quoted(setting: Setting) -> Mapping[str, Any]:
    return {"hyperparameters": {k: json.dumps(v) for k, v in setting.hyperparameters.items()}}


def _absent(setting: Setting) -> Mapping[str, Any]:
    nothing = setting.sources / "nothing"
    nothing.mkdir(exist_ok=True)
    return {"channels": (*setting.channels(), Channel("absent", nothing))}


def _code(setting: Setting) -> Mapping[str, Any]:
    code = setting.sources / "code"
    code.mkdir(exist_ok=True)
    (code / "sm_train.sh").write_text("#!/bin/bash\nexit 1\n")
    return {"channels": (*setting.channels(), Channel("code", code), Channel("sm_drivers", code))}


def _fast_file(setting: Setting) -> Mapping[str, Any]:
    return {"channels": tuple(replace(channel, mode="FastFile") for channel in setting.channels())}


ODDITIES = {
    # First: what the SDK and the tuner add is not quoted twice.
    "quoted": Oddity(_quoted),
    # Without sagemaker_program and sagemaker_submit_directory, which name a script that an image
    # with sagemaker-training runs in place of its own, and sagemaker_mpi_*, which ask for MPI.
    "sdk": Oddity(
        _more(
            sagemaker_region='"eu-west-1"',
            sagemaker_job_name='"job"',
            sagemaker_container_log_level="20",
            sagemaker_instance_type='"ml.m5.xlarge"',
        )
    ),
    "tuning": Oddity(_more(_tuning_objective_metric='"val_accuracy"')),
    "config": Oddity(
        files={
            f"input/config/{name}.json": b'{"emulated": true}'
            for name in ("debughookconfig", "profilerconfig", "upstreamoutputdataconfig")
        }
    ),
    "code": Oddity(_code),
    "absent": Oddity(_absent),
    "fastfile": Oddity(_fast_file),
}
