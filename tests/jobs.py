"""Training jobs as the platform starts them: an /opt/ml folder, and the command `train` on it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
SDK = ROOT / ".venv-deploy/bin/python"
"""The Python of the environment that holds SageMaker's SDK; tests/run.sh makes it."""
# Coverage makes a job 1.4 times as long. That of the fixture `trained` is measured, and the parts
# of the package are in their own tests.
UNMEASURED = {"COVERAGE_PROCESS_CONFIG": ""}


class Replaced(BaseException):
    """Raised by the fixture `no_exec` where a process would have become another program."""


def make_ml_dir(
    base: Path, channels: Mapping[str, Path], hyperparameters: Mapping[str, str]
) -> Path:
    """Lay out /opt/ml in `base`: the three config files, and a copy of each channel's data.

    A channel may be a zip or another file, which is put into the channel, or a folder, which
    becomes it.
    """
    config = base / "input" / "config"
    config.mkdir(parents=True)
    for folder in ("input/data", "model", "output/data"):
        (base / folder).mkdir(parents=True)
    resource = ROOT / "local_test" / "test_dir" / "input" / "config" / "resourceconfig.json"
    shutil.copy(resource, config)
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    entry = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}
    (config / "inputdataconfig.json").write_text("{}")
    describe_channels(base, dict.fromkeys(channels, entry))
    for name, data in channels.items():
        target = base / "input" / "data" / name
        if data.is_dir():
            shutil.copytree(data, target)
        else:
            target.mkdir()
            shutil.copy(data, target)
    return base


def describe_channels(ml_dir: Path, entries: Mapping[str, Mapping[str, str]]) -> None:
    """Add entries to inputdataconfig.json, or replace those that are there."""
    file = ml_dir / "input" / "config" / "inputdataconfig.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **entries}))


def run_cli(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the `brain-tumor` command in a process of its own and wait for its end."""
    return subprocess.run(
        [BIN / "brain-tumor", *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=600,
    )


def run_train(ml_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run `brain-tumor train` on a folder and wait for its end."""
    return run_cli("train", SAGEMAKER_BASE_DIR=str(ml_dir), **UNMEASURED)
