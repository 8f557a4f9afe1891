"""What is checked, an image or two commands, made into what rules look at."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from local_test.emulator import hosts
from local_test.emulator.channels import Channel
from local_test.emulator.check.asking import Payload
from local_test.emulator.check.data import draw_channels
from local_test.emulator.check.hosted import Hosted
from local_test.emulator.check.image import Image, read_image
from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.rule import NotTestedError
from local_test.emulator.check.serving import Serving
from local_test.emulator.check.setting import Setting
from local_test.emulator.check.suite import Evidence
from local_test.emulator.console import Console
from local_test.emulator.engine import Engine
from local_test.emulator.hosting.launch import Commands, Containers, Launcher, Lifecycle
from local_test.emulator.hosts import MakeHost
from local_test.emulator.metrics import MetricDefinition
from local_test.emulator.process import split_words
from local_test.emulator.specification import TrainingJob


@dataclass(frozen=True)
class Subject:
    """What is checked, and with what.

    Attributes:
        image: An image, or None for commands.
        train: The command in place of `IMAGE train`.
        serve: The command in place of `IMAGE serve`.
        channels: The data of jobs; None: phantoms are drawn.
        hyperparameters: Those of all jobs.
        long: More of them for the jobs that are to be interrupted.
        metrics: Definitions that the log has to match.
        hosts: How many hosts it claims to train on.
        model: model.tar.gz or a folder; None: what the check's own job leaves.
        own_model: Whether the image has its model inside.
        payload: What is to be answered; None: what can be guessed.
    """

    image: str | None
    train: str | None
    serve: str | None
    channels: Sequence[Channel] | None
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    long: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[MetricDefinition, ...] = ()
    hosts: int = 1
    model: Path | None = None
    own_model: bool = False
    payload: Payload | None = None

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return self.image or " and ".join(filter(None, (self.train, self.serve)))


@contextmanager
def evidence(
    subject: Subject, engine: Engine | None, limits: Limits, folder: Path, console: Console
) -> Iterator[Evidence]:
    """Give what rules look at; what was started for it has ended when the block ends.

    Args:
        subject: What is checked.
        engine: Where an image runs.
        limits: How long it may take.
        folder: For all that is made.
        console: Where logs go.

    Raises:
        EmulatorError: There is no such image.
    """
    labels = engine.image_labels(subject.image) if engine and subject.image else {}
    sources = folder / "sources"
    sources.mkdir()
    setting = Setting(
        name=subject.name,
        make_hosts=partial(_hosts, subject, engine),
        contained=engine is not None,
        channels=functools.cache(partial(_channels, subject, sources)),
        hyperparameters=subject.hyperparameters,
        long=subject.long,
        metrics=subject.metrics,
        hosts=subject.hosts,
        folder=folder,
        sources=sources,
        console=console,
    )
    jobs = Jobs(setting, limits)
    hosted = Hosted(
        launcher=partial(_launcher, subject, engine, folder),
        contained=engine is not None,
        isolates=functools.cache(partial(_isolates, engine)),
        labels=labels,
        model=subject.model,
        own_model=subject.own_model,
        payload=subject.payload,
        on_line=console.line,
    )
    with ExitStack() as stack:
        serving = stack.enter_context(Serving(hosted, jobs, limits))
        yield Evidence(functools.cache(partial(_image, subject, engine, folder)), jobs, serving)


def _channels(subject: Subject, folder: Path) -> Sequence[Channel]:
    if not subject.image and not subject.train:
        raise NotTestedError("--command tests it")
    return draw_channels(folder) if subject.channels is None else subject.channels


def _hosts(
    subject: Subject, engine: Engine | None, job: TrainingJob
) -> AbstractContextManager[MakeHost]:
    if engine:
        return hosts.containers(engine, job)
    return hosts.command(split_words(subject.train or ""), job)


def _launcher(
    subject: Subject, engine: Engine | None, folder: Path, isolated: bool, lifecycle: Lifecycle
) -> Launcher:
    if engine and subject.image:
        return Containers(engine, subject.image, lifecycle, isolated=isolated)
    if not subject.serve:
        raise NotTestedError("--serve-command tests it")
    return Commands(split_words(subject.serve), lifecycle, folder)


def _isolates(engine: Engine | None) -> bool:
    return engine is not None and engine.reaches(engine.network(internal=True))


def _image(subject: Subject, engine: Engine | None, folder: Path) -> Image:
    if not engine or not subject.image:
        raise NotTestedError("there is no image")
    return read_image(engine, subject.image, folder)
