"""A training job in the local mode of SageMaker's SDK v3: the same image and word, no account.

It is the SDK's core, whose client takes the very parameters of CreateTrainingJob. ModelTrainer
would start the image without the word `train`.
"""

import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click

from deploy import artefacts, jobs
from deploy.commands.upload import CHANNELS
from deploy.errors import DeployError
from deploy.session import Aws

# The SDK reports each use to AWS unless it is told not to.
_NO_TELEMETRY = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


def channels(source: Path) -> dict[str, str]:
    """Give each channel that a folder of zips has as the path of its zip.

    Raises:
        DeployError: there is no Train.zip.
    """
    found = {name: source / file for name, file in CHANNELS.items() if (source / file).is_file()}
    if "train" not in found:
        raise DeployError(f"There is no {CHANNELS['train']} in {source} to train on.")
    return {name: str(path) for name, path in found.items()}


def train(aws: Aws, name: str, job: jobs.Job, folder: Path) -> None:
    """Run a job in containers of this machine's Docker; unpack its artefacts into `folder`.

    Raises:
        DeployError: it failed, with the cause; or there is no Docker Compose.
    """
    folder = folder.resolve()
    request = _request(name, job, folder)
    if aws.dry_run:
        click.echo(f"would run {job.image} by the SDK's local mode on {folder}")
        return
    for channel in job.channels:
        _lay_out(Path(job.channels[channel]), folder / "data" / channel)
    try:
        _session(aws, folder).sagemaker_client.create_training_job(**request)
    except ImportError as error:
        raise DeployError(
            "The local mode runs `docker compose`, which is missing: on Debian "
            "`apt-get install docker-compose`, elsewhere see docs.docker.com/compose/install."
        ) from error
    except RuntimeError as error:
        raise DeployError(f"{name} failed: {_cause(folder) or error}") from error
    finally:
        _clean_up(folder)
    for archive in ("model", "output"):
        artefacts.unpack(folder / f"{archive}.tar.gz", folder / archive)
        click.echo(f"{folder / archive}/")


def _request(name: str, job: jobs.Job, folder: Path) -> dict[str, Any]:
    here = {channel: (folder / "data" / channel).as_uri() for channel in job.channels}
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": job.image},
        "HyperParameters": job.hyperparameters,
        "InputDataConfig": jobs.channels(here, sharded=False),
        "OutputDataConfig": {"S3OutputPath": folder.as_uri()},
        "ResourceConfig": {"InstanceType": "local", "InstanceCount": job.instance_count},
    }


def _lay_out(archive: Path, channel: Path) -> None:
    """Put a zip into a folder of its own: the SDK mounts a channel's folder as it is, writable."""
    channel.mkdir(parents=True, exist_ok=True)
    shutil.copy(archive, channel)


def _session(aws: Aws, folder: Path) -> Any:
    import boto3
    from sagemaker.core.local import LocalSession

    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    # Nothing is asked of the region, but the SDK wants one.
    boto_session = boto3.Session(region_name=aws.region_option or "us-east-1")
    session = LocalSession(boto_session, sagemaker_config=_NO_TELEMETRY)
    root = folder / "containers"
    root.mkdir(parents=True, exist_ok=True)
    session.config = {"local": {"container_root": str(root)}}
    return session


def _clean_up(folder: Path) -> None:
    """Remove the containers and their network, which the SDK leaves, and what was laid out."""
    for file in (folder / "containers").glob("*/docker-compose.yaml"):
        # As the SDK: the plugin, or else the program of old.
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
        words = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
        subprocess.run([*words, "-f", file, "down"], capture_output=True)
    # What the containers wrote belongs to root: for anyone else a part of it stays.
    for part in ("containers", "data"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _cause(folder: Path) -> str:
    """Give what the image wrote into output/failure; the SDK tells an exit code alone."""
    archive = folder / "output.tar.gz"
    if not archive.is_file():
        return ""
    artefacts.unpack(archive, folder / "output")
    failure = folder / "output" / "failure"
    return failure.read_text() if failure.is_file() else ""
