"""The training jobs of a check: each is run once, and rules look at what was seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from local_test.emulator.channels import Channel
from local_test.emulator.check.limits import Limits
from local_test.emulator.check.oddities import ODDITIES
from local_test.emulator.check.rule import NotTestedError, once
from local_test.emulator.check.setting import Setting
from local_test.emulator.check.trained import Trained
from local_test.emulator.check.witness import Seen, Witness
from local_test.emulator.container import Container
from local_test.emulator.errors import EmulatorError
from local_test.emulator.job import Run
from local_test.emulator.layout import Layout
from local_test.emulator.running import Running
from local_test.emulator.specification import TrainingJob

# A job that takes so many times as long as the ordinary one hangs.
_HANGS = 3
_TOO_SHORT = (
    "the job ended before; --long KEY=VALUE gives such jobs a hyperparameter that makes them longer"
)
HYPERPARAMETERS = "input/config/hyperparameters.json"


def _given(channels: Sequence[Channel]) -> Callable[[], Sequence[Channel]]:
    return lambda: channels


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
            NotTestedError: It failed, or was not ended in time.
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
            NotTestedError: The ordinary job failed, or this one was only slow.
        """
        if (together := self.odd()).record.status == "Completed":
            return together
        if name not in self._alone:
            self._alone[name] = self._odd(f"odd-{name}", [name])
        return self._alone[name]

    @once
    def without_hyperparameters(self) -> Trained:
        """Run a job that has no hyperparameters.json, for half the time of the ordinary one.

        What it lacks it has missed by then, and the defaults may be long ones.
        """
        seconds = max(self.completed().last.seconds / 2, self._limits.shortest_job)
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
            EmulatorError: It failed before, unlike the ordinary job.
        """
        seconds = self.completed().last.seconds
        # A job of no length would be stopped before its program has started.
        seconds = max(seconds, self._limits.shortest_job) if self.setting.long else seconds / 2
        # One that does not end by itself may take longer to start than the ordinary one for all.
        kill_after = 2 * seconds if self.setting.long else seconds
        job = self._run(
            "interrupted",
            hyperparameters={**self.setting.hyperparameters, **self.setting.long},
            checkpoints=self.setting.sources / "checkpoints",
            spot_kill_after=kill_after,
            stop_after=kill_after + 1.5 * seconds,
        )
        if len(job.attempts) > 1:
            return job
        if job.record.status == "Failed":
            raise EmulatorError(
                f"with checkpoints and --long the job failed before it could be interrupted: "
                f"{job.story()}"
            )
        raise NotTestedError(f"no interruption after {kill_after:.1f} s: {_TOO_SHORT}")

    def stopped(self) -> Trained:
        """Return that job, to which SIGTERM was sent.

        Raises:
            NotTestedError: It ended before, or as in `interrupted`.
        """
        job = self.interrupted()
        if job.record.status != "Stopped":
            raise NotTestedError(f"no SIGTERM was sent: {_TOO_SHORT}")
        return job

    @once
    def spread(self) -> Trained:
        """Run a job on several hosts.

        Raises:
            NotTestedError: The image does not claim to.
        """
        if self.setting.hosts == 1:
            raise NotTestedError("--hosts N tests it, for images that train on several hosts")
        if not self.setting.contained:
            raise NotTestedError("without Docker there are no several hosts")
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
        job = self._run(name, files=files, **fields)
        took, usual = job.last.seconds, self.completed().last.seconds
        # The limit for one job is the check's own, and the ordinary one may have been close to it.
        if job.timed_out and took < _HANGS * usual:
            raise NotTestedError(
                f"not ended after {took:.0f} s, where the ordinary job took {usual:.0f} s: "
                "-s shortens jobs, --job-timeout gives each more time"
            )
        return job

    def _run(
        self,
        name: str,
        *,
        files: Mapping[str, bytes | None] | None = None,
        without: str = "",
        grace: float | None = None,
        **fields: Any,
    ) -> Trained:
        setting, limits = self.setting, self._limits
        wanted = (limits.job, limits.grace if grace is None else grace)
        job_seconds, grace_seconds = self._seconds(*wanted)
        usual = {
            "channels": tuple(setting.channels()),
            "hyperparameters": dict(setting.hyperparameters),
            "max_runtime": job_seconds,
            "grace": grace_seconds,
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
        trained = Trained(record, attempts, setting.folder / name)
        if trained.timed_out and job_seconds < wanted[0]:
            raise limits.over(trained.story())
        if trained.killed and grace_seconds < wanted[1]:
            raise limits.over(trained.story())
        return trained

    def _seconds(self, job: float, grace: float) -> tuple[float, float]:
        """Return what a job and its grace get: both, or what is left of the whole."""
        left = self._limits.within(job + grace)
        if left < job + grace:
            grace = min(grace, left / 2)
        return min(job, left - grace), grace
