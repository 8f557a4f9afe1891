"""Rules of what training jobs are given, and of what they leave."""

from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.rule import Outcome, Rules, failed, judged, not_applicable

TRAINING: Rules[Jobs] = Rules("a training job")

_ALGORITHM = "your-algorithms-training-algo-dockerfile"
_RUNNING = "your-algorithms-training-algo-running-container"
_OUTPUT = "your-algorithms-training-algo-output"
_SIGNAL = "your-algorithms-training-signal-success-failure"


@TRAINING.rule(
    "TRAIN-01",
    "A job on ordinary data ends with exit code 0.",
    source=_SIGNAL,
    why="Any other exit code makes the job Failed and its model is not kept. Look at the last "
    "lines of the log; they tell what the platform would show.",
)
def _completes(jobs: Jobs) -> Outcome:
    job = jobs.ordinary()
    # What it leaves is the matter of other rules.
    if job.record.secondary_status == "MaxRuntimeExceeded":
        return failed(f"not ended after {job.last.seconds:.0f} s; -s shortens it, as epochs=1 may")
    return judged(job.code == 0, job.story())


@TRAINING.rule(
    "TRAIN-02",
    "A job that completes leaves a model in /opt/ml/model.",
    source=_OUTPUT,
    why="Only that folder becomes model.tar.gz: without a file there, nothing can be deployed. "
    "Save the model there and nowhere else.",
)
def _leaves_a_model(jobs: Jobs) -> Outcome:
    job = jobs.ordinary()
    if job.code:
        return not_applicable("the job failed (TRAIN-01)")
    names = list(job.last.models)
    return judged(bool(names), ", ".join(names[:4]) if names else "/opt/ml/model is empty")


@TRAINING.rule(
    "TRAIN-03",
    "The model holds files and folders alone, no links.",
    source="your-algorithms-inference-code",
    why="Hosting refuses a model archive with symbolic links. Copy the file that the link leads "
    "to.",
)
def _no_links(jobs: Jobs) -> Outcome:
    job = jobs.ordinary()
    if job.code:
        return not_applicable("the job failed (TRAIN-01)")
    links = [name for name, plain in job.last.models.items() if not plain]
    return judged(not links, f"links: {', '.join(links[:3])}" if links else "no link")


@TRAINING.rule(
    "TRAIN-04",
    "A job works without any network.",
    source="mkt-algo-model-internet-free",
    why="Under network isolation there are no calls out and no credentials: downloads of weights "
    "or packages at the start fail. Put them into the image.",
)
def _needs_no_network(jobs: Jobs) -> Outcome:
    if not jobs.setting.contained:
        return not_applicable("a command of this machine cannot be isolated")
    if jobs.ordinary().code:
        return not_applicable("the job failed with a network, too (TRAIN-01)")
    return judged(jobs.isolated().code == 0, jobs.isolated().story())


@TRAINING.rule(
    "TRAIN-05",
    "A job works without hyperparameters.json.",
    source=_RUNNING,
    why="A job without hyperparameters may have `{}` or no file; jobs that demand it fail at once. "
    "Have a default for all.",
)
def _no_hyperparameters(jobs: Jobs) -> Outcome:
    job = jobs.without_hyperparameters()
    still = "it was still running when it was stopped"
    return judged(job.record.status != "Failed", job.story() if job.code else still)


def _odd(jobs: Jobs, name: str) -> Outcome:
    job = jobs.with_oddity(name)
    return judged(job.code == 0, job.story() if job.code else "the job completed")


@TRAINING.rule(
    "TRAIN-06",
    "Hyperparameters that begin with `sagemaker_` are ignored.",
    source="sagemaker-python-sdk: Estimator",
    why="The SDK adds them to those of the user, and a parser that knows them not ends the job. "
    "Leave out all keys with this beginning.",
)
def _sdk_keys(jobs: Jobs) -> Outcome:
    return _odd(jobs, "sdk")


@TRAINING.rule(
    "TRAIN-07",
    "The hyperparameter `_tuning_objective_metric` is ignored.",
    source="automatic-model-tuning-define-ranges",
    why="Each job of a tuning job has it: where it is refused, no trial completes. Leave it out.",
)
def _tuning_key(jobs: Jobs) -> Outcome:
    return _odd(jobs, "tuning")


@TRAINING.rule(
    "TRAIN-08",
    'Values of hyperparameters may be encoded as JSON twice ("\\"10\\"").',
    source="sagemaker-python-sdk: framework estimators; automatic-model-tuning-define-ranges",
    why="Framework estimators and categorical ranges of tuning jobs quote each value. Parse it as "
    "JSON, and keep the text where that fails.",
)
def _quoted(jobs: Jobs) -> Outcome:
    if not jobs.setting.hyperparameters:
        return not_applicable("no hyperparameter is given with -s")
    return _odd(jobs, "quoted")


@TRAINING.rule(
    "TRAIN-09",
    "Unknown files in input/config are ignored.",
    source="train-debugger; train-profile-training-jobs",
    why="The platform puts more files there (debughookconfig.json, profilerconfig.json). Open the "
    "three documented ones by name, never all that there is.",
)
def _config_files(jobs: Jobs) -> Outcome:
    return _odd(jobs, "config")


@TRAINING.rule(
    "TRAIN-10",
    "The channels `code` and `sm_drivers` are not taken for data.",
    source="sagemaker-python-sdk 3: ModelTrainer",
    why="The SDK puts scripts there. Name the channels that are data, rather than reading all.",
)
def _code_channels(jobs: Jobs) -> Outcome:
    return _odd(jobs, "code")


@TRAINING.rule(
    "TRAIN-11",
    "A channel may have no folder on a host.",
    source="train-heterogeneous-cluster; API: S3DataSource (ShardedByS3Key)",
    why="A host may get no object of a channel that inputdataconfig.json names. Look whether the "
    "folder is there.",
)
def _absent_channel(jobs: Jobs) -> Outcome:
    return _odd(jobs, "absent")


@TRAINING.rule(
    "TRAIN-12",
    "FastFile mode works: a channel is a folder that cannot be written.",
    source=_RUNNING,
    why="Jobs that unpack or cache beside their data end with 'Read-only file system'. Write to "
    "/tmp.",
)
def _fast_file(jobs: Jobs) -> Outcome:
    if not jobs.setting.contained:
        return not_applicable("without Docker a channel can always be written")
    return _odd(jobs, "fastfile")


@TRAINING.rule(
    "TRAIN-13",
    "Nothing below /opt/ml/input is changed.",
    source=_RUNNING,
    why="Input is the platform's, may be shared with other processes and cannot be written in "
    "other modes. Write to /tmp.",
)
def _input_unchanged(jobs: Jobs) -> Outcome:
    before, after = jobs.completed().last.inputs
    changed = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    seen = f"changed: {', '.join(changed[:3])}" if changed else f"{len(before)} files as they were"
    return judged(not changed, seen)


@TRAINING.rule(
    "TRAIN-14",
    "Nothing is written outside of /opt/ml and /tmp.",
    source="model-train-storage",
    why="Only /opt/ml and /tmp lie on the job's own volume; elsewhere there is little room, and "
    "what is written is lost. Point caches ($HOME, MPLCONFIGDIR, …) to /tmp.",
)
def _written_outside(jobs: Jobs) -> Outcome:
    if not jobs.setting.contained:
        return not_applicable("what a command of this machine writes is not watched")
    written = jobs.completed().last.written
    more = f" and {len(written) - 3} more" if len(written) > 3 else ""
    return judged(not written, ", ".join(written[:3]) + more if written else "nothing")
