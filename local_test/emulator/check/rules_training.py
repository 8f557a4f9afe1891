"""Rules of what training jobs are given, and of what they leave."""

from local_test.emulator.check.jobs import Jobs
from local_test.emulator.check.model import changed
from local_test.emulator.check.rule import (
    Check,
    Outcome,
    Rules,
    failed,
    judged,
    listed,
    not_applicable,
    passed,
)
from local_test.emulator.check.sources import (
    INFERENCE,
    INTERNET_FREE,
    OUTPUT,
    RANGES,
    RUNNING,
    SIGNAL,
)

TRAINING: Rules[Jobs] = Rules("a training job")


@TRAINING.rule(
    "TRAIN-01",
    "A job on ordinary data ends with exit code 0.",
    source=SIGNAL,
    why="Any other exit code makes the job Failed and its model is not kept. Look at the last "
    "lines of the log; they tell what the platform would show.",
)
def _completes(jobs: Jobs) -> Outcome:
    job = jobs.ordinary()
    if job.timed_out:
        return failed(f"not ended after {job.last.seconds:.0f} s; -s shortens it, as epochs=1 may")
    # What it leaves is the matter of other rules.
    return judged(job.ended_well, job.story())


@TRAINING.rule(
    "TRAIN-02",
    "A job that completes leaves a model in /opt/ml/model.",
    source=OUTPUT,
    why="Only that folder becomes model.tar.gz: without a file there, nothing can be deployed. "
    "Save the model there and nowhere else.",
)
def _leaves_a_model(jobs: Jobs) -> Outcome:
    job = jobs.ordinary()
    if not job.ended_well:
        return not_applicable("the job did not end well (TRAIN-01)")
    names = list(job.last.models)
    return judged(bool(names), listed(names) if names else "/opt/ml/model is empty")


@TRAINING.rule(
    "TRAIN-03",
    "The model holds files and folders alone, no links.",
    source=INFERENCE,
    why="Hosting refuses a model archive with symbolic links. Copy the file that the link leads "
    "to.",
)
def _no_links(jobs: Jobs) -> Outcome:
    job = jobs.ordinary()
    if not job.ended_well:
        return not_applicable("the job did not end well (TRAIN-01)")
    links = [name for name, plain in job.last.models.items() if not plain]
    return judged(not links, f"links: {listed(links)}" if links else "no link")


@TRAINING.rule(
    "TRAIN-04",
    "A job works without any network.",
    source=INTERNET_FREE,
    why="Under network isolation there are no calls out and no credentials: downloads of weights "
    "or packages at the start fail. Put them into the image.",
)
def _needs_no_network(jobs: Jobs) -> Outcome:
    if not jobs.setting.contained:
        return not_applicable("a command of this machine cannot be isolated")
    if not jobs.ordinary().ended_well:
        return not_applicable("the job did not end well with a network either (TRAIN-01)")
    return judged(jobs.isolated().ended_well, jobs.isolated().story())


@TRAINING.rule(
    "TRAIN-05",
    "A job works without hyperparameters.json.",
    source=RUNNING,
    why="A job without hyperparameters may have `{}` or no file; jobs that demand it fail at once. "
    "Have a default for all.",
)
def _no_hyperparameters(jobs: Jobs) -> Outcome:
    job = jobs.without_hyperparameters()
    if job.record.status == "Stopped":
        return passed("it was still running when it was stopped")
    return judged(job.ended_well, job.story())


def _odd(name: str) -> Check[Jobs]:
    """Return the look at a job with an oddity."""

    def check(jobs: Jobs) -> Outcome:
        job = jobs.with_oddity(name)
        return judged(job.ended_well, "the job completed" if job.ended_well else job.story())

    return check


TRAINING.rule(
    "TRAIN-06",
    "Hyperparameters that begin with `sagemaker_` are ignored.",
    source="sagemaker-python-sdk: Estimator",
    why="The SDK adds them to those of the user, and a parser that knows them not ends the job. "
    "Leave out all keys with this beginning.",
)(_odd("sdk"))


TRAINING.rule(
    "TRAIN-07",
    "The hyperparameter `_tuning_objective_metric` is ignored.",
    source=RANGES,
    why="Each job of a tuning job has it: where it is refused, no trial completes. Leave it out.",
)(_odd("tuning"))


@TRAINING.rule(
    "TRAIN-08",
    'Values of hyperparameters may be encoded as JSON twice ("\\"10\\"").',
    source=f"sagemaker-python-sdk: framework estimators; {RANGES}",
    why="Framework estimators and categorical ranges of tuning jobs quote each value. Parse it as "
    "JSON, and keep the text where that fails.",
)
def _quoted(jobs: Jobs) -> Outcome:
    if not jobs.setting.hyperparameters:
        return not_applicable("no hyperparameter is given with -s")
    return _odd("quoted")(jobs)


TRAINING.rule(
    "TRAIN-09",
    "Unknown files in input/config are ignored.",
    source="train-debugger; train-profile-training-jobs",
    why="The platform puts more files there (debughookconfig.json, profilerconfig.json). Open the "
    "three documented ones by name, never all that there is.",
)(_odd("config"))


TRAINING.rule(
    "TRAIN-10",
    "The channels `code` and `sm_drivers` are not taken for data.",
    source="sagemaker-python-sdk 3: ModelTrainer",
    why="The SDK puts scripts there. Name the channels that are data, rather than reading all.",
)(_odd("code"))


TRAINING.rule(
    "TRAIN-11",
    "A channel may have no folder on a host.",
    source="train-heterogeneous-cluster; API: S3DataSource (ShardedByS3Key)",
    why="A host may get no object of a channel that inputdataconfig.json names. Look whether the "
    "folder is there.",
)(_odd("absent"))


@TRAINING.rule(
    "TRAIN-12",
    "FastFile mode works: a channel is a folder that cannot be written.",
    source=RUNNING,
    why="Jobs that unpack or cache beside their data end with 'Read-only file system'. Write to "
    "/tmp.",
)
def _fast_file(jobs: Jobs) -> Outcome:
    if not jobs.setting.contained:
        return not_applicable("without Docker a channel can always be written")
    return _odd("fastfile")(jobs)


@TRAINING.rule(
    "TRAIN-13",
    "Nothing below /opt/ml/input is changed.",
    source=RUNNING,
    why="Input is the platform's, may be shared with other processes and cannot be written in "
    "other modes. Write to /tmp.",
)
def _input_unchanged(jobs: Jobs) -> Outcome:
    before, after = jobs.completed().last.inputs
    names = changed(before, after)
    seen = f"changed: {listed(names)}" if names else f"{len(before)} files as they were"
    return judged(not names, seen)


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
    return judged(not written, listed(written) if written else "nothing")
