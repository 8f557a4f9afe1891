"""The hosts of a training job: containers on a network of their own, or one command here."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local_test.emulator.engine import Bind, Engine
from local_test.emulator.layout import CHECKPOINTS, Layout
from local_test.emulator.process import Process, refuse_without_docker
from local_test.emulator.running import Running
from local_test.emulator.specification import TrainingJob

# Makes a host with a name and what lies below its /opt/ml, not yet started.
MakeHost = Callable[[str, Layout], Running]


def environment(job: TrainingJob) -> dict[str, str]:
    """Return what the platform sets: no more is promised to a container."""
    return {
        **job.environment,
        "TRAINING_JOB_NAME": job.name,
        "TRAINING_JOB_ARN": job.arn,
    }


@contextmanager
def containers(engine: Engine, job: TrainingJob) -> Iterator[MakeHost]:
    """Give the making of containers that find each other as algo-1, algo-2, ….

    input, model and output are mounts of their own there, and hide what the image has in them.
    """
    network = engine.network(internal=job.isolated)
    folders = ["input", "model", "output", *([CHECKPOINTS] if job.checkpoints else [])]

    def make(name: str, layout: Layout) -> Running:
        return engine.container(
            job.image,
            job.command,
            files=layout.files,
            volumes=[f"/opt/ml/{folder}" for folder in folders],
            binds=[Bind(bind.source, f"/opt/ml/{bind.target}") for bind in layout.binds],
            alias=(network, name),
            memory=job.memory,
            gpus=job.gpus,
            environment=environment(job),
            **({"entrypoint": list(job.entrypoint)} if job.entrypoint else {}),
        )

    yield make


@contextmanager
def command(words: Sequence[str], job: TrainingJob) -> Iterator[MakeHost]:
    """Give the making of a process in place of the one container.

    Raises:
        EmulatorError: The job asks for what only an engine can give.
    """
    refuse_without_docker(
        {
            "several hosts": job.instance_count > 1,
            "network isolation": job.isolated,
            "a memory limit": job.memory,
            "ContainerEntrypoint and ContainerArguments": job.entrypoint or job.arguments,
        }
    )
    with tempfile.TemporaryDirectory(prefix="emulator-ml-") as folder:

        def make(name: str, layout: Layout) -> Running:
            base = Path(folder) / name
            process = Process(words, base, environment(job))
            process.put(layout.files)
            for bind in layout.binds:
                (base / bind.target).parent.mkdir(parents=True, exist_ok=True)
                (base / bind.target).symlink_to(bind.source)
            return process

        yield make
