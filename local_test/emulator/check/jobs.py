"""The training jobs of a check: each is run once, and rules look at what was seen."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from local_test.emulator.channels import Channel
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.rule import NotTestedError, once
from local_test.emulator.check.witness import Seen, Witness
from local_test.emulator.console import Console
from local_test.emulator.engine import Container
from local_test.emulator.hosts import MakeHost
from local_test.emulator.job import Run
from local_test.emulator.layout import Layout
from local_test.emulator.metrics import MetricDefinition
from local_test.emulator.record import Record
from local_test.emulator.running import Running
from local_test.emulator.specification import TrainingJob

_SHORTEST_SECONDS = 2.0
HYPERPARAMETERS = "input/config/hyperparameters.json"


@dataclass(frozen=True)
class Setting:
    """What jobs are made of.

    Attributes:
        name: The image, or the command in its place.
        make_hosts: Makes the hosts of a job.
        contained: Whether those are containers.
        channels: Gives the data.
        hyperparameters: Those of all jobs.
        long: More of them for the jobs that are to be interrupted.
        metrics: Definitions that the log has to match.
        hosts: How many hosts the image claims to train on.
        folder: For what the jobs leave.
        sources: For what is put into channels.
        console: Where their logs go.
    """

    name: str
    make_hosts: Callable[[TrainingJob], AbstractContextManager[MakeHost]]
    contained: bool
    channels: Callable[[], Sequence[Channel]]
    hyperparameters: Mapping[str, str]
    long: Mapping[str, str]
    metrics: tuple[MetricDefinition, ...]
    hosts: int
    folder: Path
    sources: Path
    console: Console


@dataclass(frozen=True)
class Trained:
    """A job that has ended, and what was seen of each attempt, host by host."""

    record: Record
    attempts: Sequence[Seen]
    folder: Path

    @property
    def code(self) -> int:
        """The exit code of the last attempt's first host."""
        return next(iter(self.record.codes[-1].values()))

    @property
    def last(self) -> Seen:
        """What was seen of the last attempt."""
        return self.attempts[-1]

    def story(self) -> str:
        """Say how it ended."""
        reason = f": {self.record.failure[:300]!r}" if self.record.failure else ""
        ended = f"{self.record.secondary_status}, exit code {self.code}{reason}"
        return f"{ended}; last line: {self.last.last_line()!r}"


@dataclass(frozen=True)
class Oddity:
    """Something that real jobs have and a simple test has not: it may not make a job fail."""

    fields: Callable[["Setting"], Mapping[str, Any]] = lambda _setting: {}
    files: Mapping[str, bytes] = field(default_factory=dict)


def _more(**more: str) -> Callable[[Setting], Mapping[str, Any]]:
    return lambda setting: {"hyperparameters": {**setting.hyperparameters, **more}}


def _given(channels: Sequence[Channel]) -> Callable[[], Sequence[Channel]]:
    return lambda: channels


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
    "sdk": Oddity(
        _more(
            sagemaker_region='"eu-west-1"',
            sagemaker_job_name='"job"',
            sagemaker_container_log_level="20",
        )
    ),
    "tuning": Oddity(_more(_tuning_objective_metric='"val_accuracy"')),
    "quoted": Oddity(_quoted),
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


class Jobs:
    """Runs the jobs as rules ask for them."""

    def __init__(self, setting: Setting, limits: Limits) -> None:
        self.setting = setting
        self._limits = limits
        self._alone: dict[str, Trained] = {}

    @once
    def isolated(self) -> Trained:
        """Run the job as it is, without a network."""
        return self._run("isolated", isolated=self.setting.contained)

    @once
    def ordinary(self) -> Trained:
        """Return the job as it is: the one without a network, unless that failed."""
        job = self.isolated()
        if job.record.status == "Completed" or not self.setting.contained:
            return job
        return self._run("ordinary")

    def completed(self) -> Trained:
        """Return the job as it is, completed.

        Raises:
            NotTestedError: It failed.
        """
        job = self.ordinary()
        if job.record.status != "Completed":
            raise NotTestedError("the ordinary job did not complete (TRAIN-01)")
        return job

    @once
    def odd(self) -> Trained:
        """Run a job with all oddities at once."""
        self.completed()
        return self._odd("odd", list(ODDITIES))

    def with_oddity(self, name: str) -> Trained:
        """Return a job with an oddity: the one with all, or, where that failed, one with it alone.

        Raises:
            NotTestedError: The ordinary job failed.
        """
        if (together := self.odd()).record.status == "Completed":
            return together
        if name not in self._alone:
            self._alone[name] = self._odd(f"odd-{name}", [name])
        return self._alone[name]

    @once
    def without_hyperparameters(self) -> Trained:
        """Run a job that has no hyperparameters.json, for as long as the ordinary one ran."""
        seconds = self.completed().last.seconds
        return self._run(
            "bare", without=HYPERPARAMETERS, stop_after=seconds, grace=1, hyperparameters={}
        )

    @once
    def without_data(self) -> Trained:
        """Run a job whose channels are empty folders."""
        self.completed()
        names = [channel.name for channel in self.setting.channels()]
        empty = self.setting.sources / "empty"
        empty.mkdir()
        folders = {f"input/data/{name}": None for name in names}
        channels = tuple(Channel(name, empty) for name in names)
        return self._run("empty", files=folders, channels=channels)

    @once
    def interrupted(self) -> Trained:
        """Run a job that loses its instance once, and is stopped after it has gone on.

        Raises:
            NotTestedError: It ended before, or the ordinary job failed.
        """
        seconds = self.completed().last.seconds
        # A job of no length would be stopped before its program has started.
        seconds = max(seconds, _SHORTEST_SECONDS) if self.setting.long else seconds / 2
        job = self._run(
            "interrupted",
            hyperparameters={**self.setting.hyperparameters, **self.setting.long},
            checkpoints=self.setting.sources / "checkpoints",
            spot_kill_after=seconds,
            stop_after=2.5 * seconds,
        )
        if len(job.attempts) == 1:
            raise NotTestedError(
                f"the job ended of its own before it could be interrupted after {seconds:.1f} s; "
                "--long KEY=VALUE gives such jobs a hyperparameter that makes them longer"
            )
        return job

    @once
    def spread(self) -> Trained:
        """Run a job on several hosts.

        Raises:
            NotTestedError: The image does not claim to.
        """
        if self.setting.hosts == 1:
            raise NotTestedError("--hosts N tests it, for images that train on several hosts")
        self.completed()
        return self._run("spread", instance_count=self.setting.hosts)

    def _odd(self, name: str, oddities: Sequence[str]) -> Trained:
        if not self.setting.contained:
            oddities = [oddity for oddity in oddities if oddity != "fastfile"]
        fields: dict[str, Any] = {}
        setting = self.setting
        for oddity in oddities:
            # Each sees what the former ones made of it.
            made = ODDITIES[oddity].fields(setting)
            fields |= made
            setting = replace(
                setting,
                hyperparameters=made.get("hyperparameters", setting.hyperparameters),
                channels=_given(made["channels"]) if "channels" in made else setting.channels,
            )
        files = {k: v for oddity in oddities for k, v in ODDITIES[oddity].files.items()}
        return self._run(name, files=files, **fields)

    def _run(
        self,
        name: str,
        *,
        files: Mapping[str, bytes | None] | None = None,
        without: str = "",
        **fields: Any,
    ) -> Trained:
        setting, limits = self.setting, self._limits
        usual = {
            "channels": tuple(setting.channels()),
            "hyperparameters": dict(setting.hyperparameters),
            "max_runtime": max(1.0, limits.within(limits.job)),
            "grace": limits.within(limits.grace),
            "metric_definitions": setting.metrics,
        }
        job = TrainingJob(name=f"check-{name}", image=setting.name, **{**usual, **fields})
        setting.console.note(f"training job {job.name}")
        attempts: list[Seen] = []

        def make(host: str, layout: Layout) -> Running:
            given = {k: v for k, v in {**layout.files, **(files or {})}.items() if k != without}
            attempts.append(Seen())
            running = make_host(host, replace(layout, files=given))
            return Witness(cast(Container, running), attempts[-1])

        with setting.make_hosts(job) as make_host:
            record = Run(job, make, setting.folder / name, setting.console).lead()
        return Trained(record, attempts, setting.folder / name)
