"""A training job's life, as the platform leads it: start, download, train, upload."""

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from local_test.emulator import checkpoints
from local_test.emulator.artifacts import ArtifactError, pack
from local_test.emulator.attempt import Attempt, Cause, Ending
from local_test.emulator.console import Console
from local_test.emulator.describe import describe
from local_test.emulator.hosts import MakeHost
from local_test.emulator.layout import CHECKPOINTS, laid_out
from local_test.emulator.metrics import find_metrics
from local_test.emulator.record import Record
from local_test.emulator.running import Running
from local_test.emulator.specification import MAX_FAILURE, TrainingJob


class Run:
    """One run of a job; what it leaves lies in `folder`, which stands for the job's S3 prefix.

    There are `output/model.tar.gz`, `output/output.tar.gz`, `logs/<host>.log`, `description.json`.
    """

    def __init__(
        self, job: TrainingJob, make_host: MakeHost, folder: Path, console: Console
    ) -> None:
        self._job = job
        self._make_host = make_host
        self._folder = folder
        self._console = console
        self._logs: dict[str, TextIO] = {}
        self._started: float | None = None
        self.record = Record(job, console.status)

    def lead(self) -> Record:
        """Run the job to its end, write the description, and return what happened."""
        logs = self._folder / "logs"
        with ExitStack() as stack:
            stack.callback(self._free_the_name, logs)
            logs.mkdir(parents=True, exist_ok=True)
            for host in self._job.hosts:
                self._logs[host] = stack.enter_context((logs / f"{host}.log").open("w"))
            while self.record.status == "InProgress":
                self._attempt()
        text = json.dumps(describe(self.record), indent=2)
        (self._folder / "description.json").write_text(f"{text}\n")
        return self.record

    def _free_the_name(self, logs: Path) -> None:
        """Leave nothing of a job that never started, so that it can be tried again."""
        if self._started is None:
            shutil.rmtree(logs)
            with suppress(OSError):
                self._folder.rmdir()

    def _attempt(self) -> None:
        """Run all hosts once."""
        job, record = self._job, self.record
        with ExitStack() as stack:
            record.enter("Downloading")
            # Pipes are fed until after the hosts are gone: the hosts come off the stack first.
            layouts = {host: stack.enter_context(laid_out(job, host)) for host in job.hosts}
            hosts: dict[str, Running] = {}
            for name, layout in layouts.items():
                hosts[name] = self._make_host(name, layout)
                stack.callback(hosts[name].remove)
            record.enter("Training")
            for host in hosts.values():
                host.start()
            alarms = self._alarms()
            ending = Attempt(hosts, alarms, job.grace, self._line, self._caused).run()
            record.codes.append(dict(ending.codes))
            codes = ", ".join(f"{name} {code}" for name, code in ending.codes.items())
            self._console.note(f"exit codes: {codes}")
            if not ending.cause and alarms.keys() - {Cause.MAX_RUNTIME}:
                self._console.note("the job ended of its own before it could be interrupted")
            self._synchronise(hosts)
            self._finish(hosts, ending)

    def _alarms(self) -> dict[Cause, float]:
        """Return what has to happen, by how many seconds are left; they count from the first start.

        There is one spot interruption, in the first attempt.
        """
        job = self._job
        now = time.monotonic()
        first, self._started = self._started is None, self._started or now
        wanted = {
            Cause.SPOT: job.spot_kill_after if first else None,
            Cause.STOPPED: job.stop_after,
            Cause.MAX_RUNTIME: job.max_runtime,
        }
        gone = now - self._started
        return {cause: after - gone for cause, after in wanted.items() if after is not None}

    def _line(self, host: str, line: str) -> None:
        self._logs[host].write(f"{line}\n")
        self._console.line(host, line)
        for name, value in find_metrics(self._job.metric_definitions, line):
            if value is None:
                self._console.note(f"the regex of {name} matched, but its group is no number")
            else:
                self.record.metrics[name] = (value, datetime.now(UTC))
                self._console.metric(name, value)

    def _caused(self, cause: Cause) -> None:
        if cause in (Cause.STOPPED, Cause.MAX_RUNTIME):
            self.record.enter("Stopping")

    def _synchronise(self, hosts: Mapping[str, Running]) -> None:
        if not self._job.checkpoints:
            return
        with ExitStack() as stack:
            trees = [stack.enter_context(host.read(CHECKPOINTS)) for host in hosts.values()]
            checkpoints.synchronise(trees, self._job.checkpoints)

    def _finish(self, hosts: Mapping[str, Running], ending: Ending) -> None:
        record = self.record
        if ending.cause is Cause.SPOT:
            record.enter("Interrupted")
            record.enter("Starting")
            return
        if ending.failed:
            record.failure = failure_reason(hosts[ending.failed], ending.codes[ending.failed])
        try:
            record.enter("Uploading")
            self._upload(hosts)
        except ArtifactError as error:
            record.failure = record.failure or f"ClientError: Artifact upload failed: {error}"
        if record.failure:
            record.failure = record.failure[:MAX_FAILURE]
            record.enter("Failed")
            self._console.note(f"FailureReason: {record.failure}")
        else:
            record.enter(ending.cause.value if ending.cause else "Completed")

    def _upload(self, hosts: Mapping[str, Running]) -> None:
        """Make both archives; a failed job leaves no model."""
        folders = {"output/data": "output.tar.gz"}
        if not self.record.failure:
            folders = {"model": "model.tar.gz", **folders}
        for folder, archive in folders.items():
            with ExitStack() as stack:
                trees = {n: stack.enter_context(h.read(folder)) for n, h in hosts.items()}
                made = pack(trees, f"/opt/ml/{folder}", self._folder / "output" / archive)
            if folder == "model" and not made:
                self._console.note("/opt/ml/model is empty: there is no model to deploy")


def failure_reason(host: Running, code: int) -> str:
    """Return what a failed host wrote in output/failure, or else its exit code."""
    with host.read("output/failure") as tree:
        # It may be a folder, too.
        if "." in tree.files():
            with tree.open(".") as stream:
                # A character has 4 bytes at most.
                text = stream.read(4 * MAX_FAILURE).decode(errors="replace")
            if text.strip():
                return text[:MAX_FAILURE]
    return f"AlgorithmError: Exit Code: {code}"
