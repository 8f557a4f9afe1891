"""The /opt/ml of a training job as one of its hosts finds it: configuration, channels, folders."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_test.emulator.channels import Channel
from local_test.emulator.engine import Bind
from local_test.emulator.files import Files, write
from local_test.emulator.pipes import Feeder
from local_test.emulator.specification import TrainingJob

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Layout:
    """What is copied below a host's /opt/ml, and what of this machine is seen there."""

    files: Files
    binds: list[Bind]


def resource_config(job: TrainingJob, host: str) -> dict[str, Any]:
    """Return resourceconfig.json as jobs of today have it."""
    group = {
        "instance_group_name": "homogeneousCluster",
        "instance_type": job.instance_type,
        # Unlike `hosts`, not sorted on the platform; nobody may rely on an order here.
        "hosts": job.hosts[::-1],
    }
    return {
        "current_host": host,
        "current_instance_type": job.instance_type,
        "current_group_name": "homogeneousCluster",
        "hosts": job.hosts,
        "instance_groups": [group],
        "network_interface_name": "eth0",
        "topology": None,
    }


def input_data_config(job: TrainingJob) -> dict[str, dict[str, str]]:
    """Return inputdataconfig.json: an entry a channel, ContentType only where one is given."""
    return {
        channel.name: {
            **({"ContentType": channel.content_type} if channel.content_type else {}),
            "TrainingInputMode": channel.mode,
            "S3DistributionType": "ShardedByS3Key" if channel.sharded else "FullyReplicated",
            "RecordWrapperType": channel.record_wrapper,
        }
        for channel in job.channels
    }


def config_files(job: TrainingJob, host: str) -> Files:
    """Return the three files of input/config."""
    contents = {
        "hyperparameters": dict(job.hyperparameters),
        "inputdataconfig": input_data_config(job),
        "resourceconfig": resource_config(job, host),
    }
    return {
        f"input/config/{name}.json": json.dumps(content).encode()
        for name, content in contents.items()
    }


@contextmanager
def laid_out(job: TrainingJob, host: str) -> Iterator[Layout]:
    """Give a host's /opt/ml; Pipe channels are fed until the block ends.

    S3 has no folders: a host whose share of a channel is empty gets no folder for it.
    """
    files: dict[str, bytes | Path | None] = {**config_files(job, host), "model": None}
    files["output/data"] = None
    if job.checkpoints:
        files[CHECKPOINTS] = None
        saved = Channel(CHECKPOINTS, job.checkpoints).objects()
        files |= {f"{CHECKPOINTS}/{key}": path for key, path in saved.items()}
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emulator-")))
        binds: list[Bind] = []
        pipes = scratch / "pipes"
        if any(channel.mode == "Pipe" for channel in job.channels):
            pipes.mkdir(mode=0o755)
            binds.append(Bind(str(pipes), "input/data"))
        else:
            files["input/data"] = None
        for channel in job.channels:
            share = channel.share(host, job.hosts)
            if channel.mode == "Pipe":
                feeder = Feeder(channel.name, share.values(), pipes, channel.record_wrapper)
                stack.enter_context(feeder)
            elif channel.mode == "FastFile" and share:
                source = _folder_of(channel, share, scratch)
                binds.append(Bind(str(source), f"input/data/{channel.name}"))
            else:
                files |= {f"input/data/{channel.name}/{key}": path for key, path in share.items()}
        yield Layout(files, binds)


def _folder_of(channel: Channel, share: dict[str, Path], scratch: Path) -> Path:
    """Return a folder with exactly these objects: the channel's own where it is one."""
    # A link would lead nowhere in a container.
    linked = any(path.resolve() != channel.source.resolve() / key for key, path in share.items())
    if channel.source.is_dir() and not channel.sharded and not linked:
        return channel.source
    folder = scratch / channel.name
    write(share, folder)
    return folder
