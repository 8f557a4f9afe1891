"""Rules of jobs that fail, of what they print, and of jobs that are interrupted or spread."""

import re
from collections.abc import Sequence

from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.rule import Outcome, Rules, failed, judged, listed, not_applicable
from local_test.emulator.check.sources import ALGORITHM, METRICS, OUTPUT, RUNNING, SIGNAL, SPOT
from local_test.emulator.check.witness import Seen
from local_test.emulator.metrics import beginnings
from local_test.emulator.specification import MAX_FAILURE

ENDS: Rules[Jobs] = Rules("a training job")

# Numbers that jobs print for people: loss=0.5, val_accuracy: 0.83; not port.cc:153.
_NUMBERS = re.compile(r"(?<![\w./])([A-Za-z]\w*)'?\s?[=:]\s?([-+]?\d[\d.eE+-]*)")
_RESUMED = re.compile(
    r"resum|restor|going on|goes on|continu|from (the )?checkpoint|from epoch", re.IGNORECASE
)
# "No checkpoint to resume from", "could not restore", "resume: None", "training from scratch".
_NOT_RESUMED = re.compile(
    r"(\b(no|not|nothing|none|without|cannot|unable)\b|n't\b|fail)[^.;,]*(resum|restor|continu|checkp)"
    r"|(resum|restor|checkp)[\w ]*[=:]\s*['\"]?(none|false|null|no)?['\"]?\s*$|scratch|anew",
    re.IGNORECASE,
)
# Lines that first come when less than this share of the job is left were held back.
_LATE = 0.1
# In a shorter job a busy machine may delay all lines until the end.
_SHORTEST_SECONDS = 2.0


@ENDS.rule(
    "TRAIN-15",
    "A job that cannot work ends with an exit code other than 0.",
    source=SIGNAL,
    why="Exit code 0 makes it Completed, without a usable model and without an alarm. Let errors "
    "reach sys.exit(1).",
)
def _fails(jobs: Jobs) -> Outcome:
    job = jobs.without_data()
    if job.ended_well and job.last.models and job.last.failure is None:
        return not_applicable("it trains without data, too")
    return judged(job.record.status == "Failed", f"with empty channels: {job.story()}")


@ENDS.rule(
    "TRAIN-16",
    "A job that fails says why in /opt/ml/output/failure.",
    source=OUTPUT,
    why="FailureReason is what that file says; without it, all that is seen is 'Exit Code: 1'. "
    "Write the exception there before the end.",
)
def _failure_file(jobs: Jobs) -> Outcome:
    job = jobs.without_data()
    if job.record.status != "Failed" and job.last.failure is None:
        return not_applicable("no job failed (TRAIN-15)")
    said = (job.last.failure or b"").strip()
    return judged(bool(said), f"{len(said)} bytes" if said else f"none; {job.story()}")


@ENDS.rule(
    "TRAIN-17",
    "The failure file begins with the cause, readable within 1024 characters.",
    source=OUTPUT,
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
    source=METRICS,
    why="Metrics are read from the log as it comes; what is held back arrives at the end, or is "
    "lost when the job is killed. Set PYTHONUNBUFFERED=1, or flush.",
)
def _flushed(jobs: Jobs) -> Outcome:
    seen = jobs.completed().last
    times = _told(seen.lines)
    if len(times) < 2 or seen.seconds < _SHORTEST_SECONDS:
        return not_applicable("it prints too few lines with numbers, or is too short, to tell")
    before = seen.end - times[0]
    told = f"the first of {len(times)} lines came {before:.1f} s before the end"
    return judged(before > _LATE * seen.seconds, told)


def _told(lines: Sequence[tuple[float, str]]) -> list[float]:
    """Return when lines came with numbers that change: libraries say constants as they start."""
    found = [(when, *pair) for when, line in lines for pair in _NUMBERS.findall(line)]
    values: dict[str, set[str]] = {}
    for _, name, value in found:
        values.setdefault(name, set()).add(value)
    return sorted({when for when, name, _ in found if len(values[name]) > 1})


@ENDS.rule(
    "TRAIN-19",
    "The log has no progress bars.",
    source=METRICS,
    why="Carriage returns and backspaces make one endless line of it, which regexes do not match "
    "and which floods CloudWatch. Print a line an epoch (Keras: verbose=2).",
)
def _no_bars(jobs: Jobs) -> Outcome:
    lines = [line for _, line in jobs.completed().last.lines]
    if not lines:
        return not_applicable("it prints nothing")
    bars = [line for line in lines if "\r" in line.rstrip("\r") or "\b" in line]
    return judged(not bars, f"{len(bars)} of {len(lines)} lines have them")


@ENDS.rule(
    "TRAIN-20",
    "Each metric definition finds a number in the log.",
    source=f"{METRICS}; API: MetricDefinition",
    why="A metric without a match has no value, and a tuning job without its objective fails. "
    "Print name=value; and match name=([-+0-9.eE]+);.",
)
def _metrics(jobs: Jobs) -> Outcome:
    wanted = [definition.name for definition in jobs.setting.metrics]
    if not wanted:
        return not_applicable("--metric-definitions FILE tests it")
    missing = [name for name in wanted if name not in jobs.completed().record.metrics]
    seen = f"no value: {listed(missing)}" if missing else f"all {len(wanted)}"
    return judged(not missing, seen)


@ENDS.rule(
    "TRAIN-26",
    "A metric definition finds one name in the log, and no other that ends like it.",
    source=f"{METRICS}; API: MetricDefinition",
    why="`loss=` is in `val_loss=` as well, and the metric gets the values of both. Print names of "
    "which none ends another, such as train_loss and val_loss.",
)
def _one_name(jobs: Jobs) -> Outcome:
    if not jobs.setting.metrics:
        return not_applicable("--metric-definitions FILE tests it")
    lines = [line for _, line in jobs.completed().last.lines]
    found = {one.name: beginnings(one, lines) for one in jobs.setting.metrics}
    mixed = {name: words for name, words in found.items() if len(words) > 1}
    told = [f"{n}: after {' and '.join(w or 'nothing' for w in ws)}" for n, ws in mixed.items()]
    return judged(not mixed, listed(told) if mixed else f"all {len(found)}")


@ENDS.rule(
    "TRAIN-21",
    "A stopped job ends by itself within 120 s of SIGTERM.",
    source=f"{ALGORITHM}; API: StoppingCondition",
    why="After 120 s it is killed, with what it had not saved. Handle SIGTERM in process 1: stop "
    "at the next batch, save, exit 0.",
)
def _stops(jobs: Jobs) -> Outcome:
    job = jobs.stopped()
    return judged(not job.killed, "killed by SIGKILL" if job.killed else f"exit code {job.code}")


@ENDS.rule(
    "TRAIN-22",
    "A stopped job leaves a model.",
    source="API: StoppingCondition",
    why="What is in /opt/ml/model when it ends is uploaded: a job that hits its time limit is not "
    "lost. Save the best model so far when SIGTERM comes.",
)
def _stopped_model(jobs: Jobs) -> Outcome:
    names = list(jobs.stopped().last.models)
    return judged(bool(names), listed(names) if names else "/opt/ml/model is empty")


@ENDS.rule(
    "TRAIN-23",
    "With CheckpointConfig, a job writes checkpoints while it runs.",
    source=SPOT,
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
    source=SPOT,
    why="The new container has nothing but the checkpoint folder; a job that begins anew never "
    "ends on spot instances. Load the newest one, and print from which epoch it goes on.",
)
def _resumes(jobs: Jobs) -> Outcome:
    job = jobs.interrupted()
    first, second = job.attempts[:2]
    if not first.checkpoints:
        return not_applicable("there was no checkpoint (TRAIN-23)")
    if job.record.status == "Failed":
        return failed(f"with the checkpoint it failed: {job.story()}")
    told = _new_lines(first, second)
    seen = f"it says: {told[0][:150]!r}" if told else "its second log says nothing of it"
    return judged(bool(told), seen)


def _new_lines(first: Seen, second: Seen) -> list[str]:
    former = {line for _, line in first.lines}
    lines = [line for _, line in second.lines if line not in former]
    return [line for line in lines if _RESUMED.search(line) and not _NOT_RESUMED.search(line)]


@ENDS.rule(
    "TRAIN-25",
    "On several hosts a job completes, and no two leave a file of the same name.",
    source=f"{RUNNING}; {OUTPUT}",
    why="All hosts' /opt/ml/model become one archive. Let the first of the sorted hosts write it, "
    "and the others elsewhere.",
)
def _several_hosts(jobs: Jobs) -> Outcome:
    job = jobs.spread()
    return judged(job.record.status == "Completed", job.story())
