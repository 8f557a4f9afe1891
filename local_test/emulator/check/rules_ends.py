"""Rules of jobs that fail, of what they print, and of jobs that are interrupted or spread."""

import re

from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.rule import Outcome, Rules, failed, judged, not_applicable
from local_test.emulator.check.witness import Seen
from local_test.emulator.job import MAX_FAILURE

ENDS: Rules[Jobs] = Rules("a training job")

_ALGORITHM = "your-algorithms-training-algo-dockerfile"
_RUNNING = "your-algorithms-training-algo-running-container"
_OUTPUT = "your-algorithms-training-algo-output"
_SIGNAL = "your-algorithms-training-signal-success-failure"
_METRICS = "automatic-model-tuning-define-metrics-variables"
# Numbers that jobs print for people: loss=0.5, val_accuracy: 0.83.
_NUMBERS = re.compile(r"[A-Za-z]\w*'?\s?[=:]\s?[-+]?\d")
_RESUMED = re.compile(
    r"resum|restor|going on|goes on|continu|from (the )?checkpoint|from epoch", re.IGNORECASE
)
# Lines that first come when less than this share of the job is left were held back.
_LATE = 0.1
_SHORTEST_SECONDS = 0.5


@ENDS.rule(
    "TRAIN-15",
    "A job that cannot work ends with an exit code other than 0.",
    source=_SIGNAL,
    why="Exit code 0 makes it Completed, without a usable model and without an alarm. Let errors "
    "reach sys.exit(1).",
)
def _fails(jobs: Jobs) -> Outcome:
    job = jobs.without_data()
    if job.code == 0 and job.last.models and job.last.failure is None:
        return not_applicable("it trains without data, too")
    return judged(job.code != 0, f"with empty channels: {job.story()}")


@ENDS.rule(
    "TRAIN-16",
    "A job that fails says why in /opt/ml/output/failure.",
    source=_OUTPUT,
    why="FailureReason is what that file says; without it, all that is seen is 'Exit Code: 1'. "
    "Write the exception there before the end.",
)
def _failure_file(jobs: Jobs) -> Outcome:
    job = jobs.without_data()
    if job.code == 0 and job.last.failure is None:
        return not_applicable("no job failed (TRAIN-15)")
    said = (job.last.failure or b"").strip()
    return judged(bool(said), f"{len(said)} bytes" if said else f"none; {job.story()}")


@ENDS.rule(
    "TRAIN-17",
    "The failure file begins with the cause, readable within 1024 characters.",
    source=_OUTPUT,
    why="Only the first 1024 characters are kept, and a traceback has its cause at the end. Write "
    "the type and message of the exception first.",
)
def _cause_first(jobs: Jobs) -> Outcome:
    said = (jobs.without_data().last.failure or b"").strip()
    if not said:
        return not_applicable("there is no failure file (TRAIN-16)")
    try:
        text = said.decode()
    except UnicodeDecodeError:
        return failed("it is no UTF-8")
    head = text[:MAX_FAILURE].splitlines()[0]
    empty = re.search(r'ErrorMessage ""', text[:MAX_FAILURE]) is not None
    return judged(not head.startswith("Traceback") and not empty, f"it begins: {head[:200]!r}")


@ENDS.rule(
    "TRAIN-18",
    "What is printed reaches the log line by line, while the job runs.",
    source=_METRICS,
    why="Metrics are read from the log as it comes; what is held back arrives at the end, or is "
    "lost when the job is killed. Set PYTHONUNBUFFERED=1, or flush.",
)
def _flushed(jobs: Jobs) -> Outcome:
    seen = jobs.completed().last
    times = [when for when, line in seen.lines if _NUMBERS.search(line)]
    if len(times) < 2 or seen.seconds < _SHORTEST_SECONDS:
        return not_applicable("it prints too few lines with numbers, or is too short, to tell")
    before = seen.end - times[0]
    told = f"the first of {len(times)} lines came {before:.1f} s before the end"
    return judged(before > _LATE * seen.seconds, told)


@ENDS.rule(
    "TRAIN-19",
    "The log has no progress bars.",
    source=_METRICS,
    why="Carriage returns and backspaces make one endless line of it, which regexes do not match "
    "and which floods CloudWatch. Print a line an epoch (Keras: verbose=2).",
)
def _no_bars(jobs: Jobs) -> Outcome:
    lines = [line for _, line in jobs.completed().last.lines]
    bars = [line for line in lines if "\r" in line.rstrip("\r") or "\b" in line]
    return judged(not bars, f"{len(bars)} of {len(lines)} lines have them")


@ENDS.rule(
    "TRAIN-20",
    "Each metric definition finds a number in the log.",
    source=f"{_METRICS}; API: MetricDefinition",
    why="A metric without a match has no value, and a tuning job without its objective fails. "
    "Print name=value; and match name=([-+0-9.eE]+);.",
)
def _metrics(jobs: Jobs) -> Outcome:
    wanted = [definition.name for definition in jobs.setting.metrics]
    if not wanted:
        return not_applicable("--metric-definitions FILE tests it")
    missing = [name for name in wanted if name not in jobs.completed().record.metrics]
    seen = f"no value: {', '.join(missing)}" if missing else f"all {len(wanted)}"
    return judged(not missing, seen)


@ENDS.rule(
    "TRAIN-21",
    "A stopped job ends by itself within 120 s of SIGTERM, with exit code 0.",
    source=f"{_ALGORITHM}; API: StoppingCondition",
    why="After 120 s it is killed, with what it had not saved. Handle SIGTERM in process 1: stop "
    "at the next batch, save, exit 0.",
)
def _stops(jobs: Jobs) -> Outcome:
    job = jobs.interrupted()
    killed = "killed by SIGKILL" if job.code == 137 else f"exit code {job.code}"
    return judged(job.code == 0, killed)


@ENDS.rule(
    "TRAIN-22",
    "A stopped job leaves a model.",
    source="API: StoppingCondition",
    why="What is in /opt/ml/model when it ends is uploaded: a job that hits its time limit is not "
    "lost. Save the best model so far when SIGTERM comes.",
)
def _stopped_model(jobs: Jobs) -> Outcome:
    names = list(jobs.interrupted().last.models)
    return judged(bool(names), ", ".join(names[:4]) if names else "/opt/ml/model is empty")


@ENDS.rule(
    "TRAIN-23",
    "With CheckpointConfig, a job writes checkpoints while it runs.",
    source="model-checkpoints; model-managed-spot-training",
    why="No signal is promised before an instance is reclaimed: without a checkpoint all is lost. "
    "Write one each epoch to /opt/ml/checkpoints.",
)
def _checkpoints(jobs: Jobs) -> Outcome:
    first = jobs.interrupted().attempts[0]
    seen = f"{len(first.checkpoints)} files when it was killed after {first.seconds:.1f} s"
    return judged(bool(first.checkpoints), seen)


@ENDS.rule(
    "TRAIN-24",
    "After an interruption a job goes on from its checkpoint, and says so.",
    source="model-checkpoints; model-managed-spot-training",
    why="The new container has nothing but the checkpoint folder; a job that begins anew never "
    "ends on spot instances. Load the newest one, and print from which epoch it goes on.",
)
def _resumes(jobs: Jobs) -> Outcome:
    first, second = jobs.interrupted().attempts[:2]
    if not first.checkpoints:
        return not_applicable("there was no checkpoint (TRAIN-23)")
    told = _new_lines(first, second)
    seen = f"it says: {told[0][:150]!r}" if told else "its second log says nothing of it"
    return judged(bool(told), seen)


def _new_lines(first: Seen, second: Seen) -> list[str]:
    former = {line for _, line in first.lines}
    lines = [line for _, line in second.lines if _RESUMED.search(line)]
    return [line for line in lines if line not in former]


@ENDS.rule(
    "TRAIN-25",
    "On several hosts a job completes, and no two leave a file of the same name.",
    source=f"{_RUNNING}; {_OUTPUT}",
    why="All hosts' /opt/ml/model become one archive. Let the first of the sorted hosts write it, "
    "and the others elsewhere.",
)
def _several_hosts(jobs: Jobs) -> Outcome:
    job = jobs.spread()
    return judged(job.record.status == "Completed", job.story())
