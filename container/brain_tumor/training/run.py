"""A training job from beginning to end, in chapters; `main` is what sagemaker-training calls.

The toolkit's `train` script reads SAGEMAKER_TRAINING_MODULE=brain_tumor.training.run:main and calls
`main` in its own process. /opt/ml is known here through the toolkit alone. Each chapter imports
what it needs: TensorFlow once hyperparameters and data are found to be in order, what evaluates
after training.
"""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from brain_tumor import artifact
from brain_tumor.errors import BrainTumorError
from brain_tumor.logs import configure_logging
from brain_tumor.resources import release_memory
from brain_tumor.settings import load_settings
from brain_tumor.training.agreement import require_the_same
from brain_tumor.training.cluster import Cluster, Hosts, read_hosts
from brain_tumor.training.failure import (
    FailureFile,
    JobFailedError,
    cause_of,
    exit_code_of,
    shortened,
    writing_to,
)
from brain_tumor.training.former import FormerModel, read_former
from brain_tumor.training.hyperparameter_parsing import parse_hyperparameters
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.imports import without
from brain_tumor.training.meeting import join
from brain_tumor.training.record import Past, Record
from brain_tumor.training.schedule import Deadline
from brain_tumor.training.stop import StopSignal

if TYPE_CHECKING:
    from brain_tumor.training.channels import Channels
    from brain_tumor.training.evaluation import Evaluation
    from brain_tumor.training.metrics import Training

log = logging.getLogger(__name__)

_FORMER = "model"
"""The channel of incremental training."""


@dataclass(frozen=True)
class Job:
    """What the platform gave this job: strings and folders, nothing checked yet."""

    hyperparameters: Mapping[str, Any]
    channels: Mapping[str, Path]
    """Channel name -> its folder."""
    input_data: Mapping[str, Any]
    """What inputdataconfig.json says of each channel."""
    model_dir: Path
    output_dir: Path
    hosts: Hosts
    end: Callable[[str], None]
    """Ends the process when another host failed; called with the cause, from another thread."""
    checkpoint_dir: Path | None = None
    """Where checkpoints are read and written; one that is not there: nowhere."""
    warm_pool_cache: Path | None = None
    """What outlives the job on a warm pool's machines, where there is such a cache."""


def main() -> None:
    """Train as the job in /opt/ml says.

    Raises:
        sagemaker_training.errors.ClientError: the job cannot be done as given; exit code 1.
        JobFailedError: whatever else went wrong; with an exit code of its own.
    """
    from sagemaker_training import environment, errors

    configure_logging()
    stop = StopSignal()
    failure = FailureFile(Path(environment.output_dir))
    try:
        given = environment.Environment()
        job = Job(
            hyperparameters=given.hyperparameters,
            channels={name: Path(path) for name, path in given.channel_input_dirs.items()},
            input_data=given.input_data_config,
            model_dir=Path(given.model_dir),
            output_dir=Path(given.output_data_dir),
            hosts=read_hosts(given.resource_config),
            end=partial(_end, failure, Path(given.model_dir)),
            checkpoint_dir=Path(environment.base_dir) / "checkpoints",
            warm_pool_cache=load_settings().warm_pool_cache,
        )
        train(job, stop)
    # SystemExit and Ctrl-C too: the toolkit would report them as success.
    except BaseException as error:
        cause, exit_code = cause_of(error), exit_code_of(error)
        if not failure.write(cause):
            log.exception("output/failure cannot be written")
            # The toolkit would try to write it too, fail, and end with 0.
            os._exit(exit_code)
        # It stands for 1 always; a host's error may have another exit code behind it.
        if isinstance(error, BrainTumorError) and exit_code == 1:
            raise errors.ClientError(cause) from error
        raise JobFailedError(cause, exit_code) from error
    stop.ignore()


def _end(failure: FailureFile, model_dir: Path, sentence: str) -> NoReturn:
    """End the process from another thread: the main one may hang in a collective for ever."""
    log.error("%s", sentence)
    failure.write(shortened(sentence))
    artifact.remove_leftovers(model_dir)
    logging.shutdown()
    os._exit(1)


def train(job: Job, stop_asked: Callable[[], bool]) -> None:
    """Read, train, evaluate, report, save; where there are several hosts, together with them.

    Args:
        job: hyperparameters, folders and hosts.
        stop_asked: True once training shall end early and save what it has.

    Raises:
        BrainTumorError: the job cannot be done as given; nothing is left in `model_dir` then.
    """
    # --- What was asked for ---
    parameters = parse_hyperparameters(job.hyperparameters, continues=_FORMER in job.channels)
    log.info("Hyperparameters: %s", parameters.model_dump_json(by_alias=True))

    with join(job.hosts, load_settings(), stop_asked, job.end) as cluster:
        _train(job, parameters, stop_asked, cluster)


def _train(
    job: Job, parameters: Hyperparameters, stop_asked: Callable[[], bool], cluster: Cluster
) -> None:
    deadline = Deadline(60 * parameters.time_budget_minutes)

    # --- Data ---
    artifact.remove_leftovers(job.model_dir)
    channels = _read_data(job, parameters, stop_asked, cluster)
    # What the search for copies freed: 0.3 GB after 100,000 scans.
    release_memory()
    former = None
    if parameters.continues:
        former = read_former(job.channels[_FORMER], parameters, channels.class_names)

    # --- What training depends on is the same on all hosts ---
    from brain_tumor.training.checkpoints import Checkpoints, identity_of, pack, unpack

    with without("sklearn", "matplotlib"):
        from brain_tumor.training import events, learn

    identity = identity_of(channels, parameters, former)
    pretrained = job.channels.get("pretrained")
    require_the_same(cluster, lambda: {**identity, **learn.facts_of_host(parameters, pretrained)})

    # --- What former runs of this job did: SageMaker restores their checkpoints ---
    checkpoints = None
    # SageMaker makes the folder where the job has a CheckpointConfig.
    if cluster.is_chief and job.checkpoint_dir and job.checkpoint_dir.is_dir():
        checkpoints = Checkpoints(job.checkpoint_dir, identity)
    past = cluster.given_by_chief(
        lambda: checkpoints.newest() if checkpoints else Past(), pack, unpack
    )
    deadline.spend(past.seconds)

    # --- Training ---
    event_log = events.EventLog(job.output_dir.parent / events.FOLDER)
    network, training = learn.train_network(
        channels,
        parameters,
        stop_asked,
        pretrained,
        deadline.for_training(),
        Record(past, checkpoints.write if checkpoints else None, cluster.clock),
        former,
        event_log,
        cluster,
    )
    if not cluster.is_chief:
        # The platform puts the files of all hosts together: one of them may write.
        return
    cluster.go_alone()
    stop_asked = cluster.anywhere(stop_asked)

    # --- What validation teaches: the temperature, what is foreign, what is uncertain ---
    # After training 0.1 GB are free but not given back: what follows need not come on top of them.
    release_memory()
    from brain_tumor.training import assess, quality, report
    from brain_tumor.training.export import Servable

    temperature = assess.calibrate(network, channels)
    detector = assess.fit_detector(network, channels, parameters, in_a_hurry=stop_asked())
    # It makes serving faster, not better.
    eight_bit = None
    if not stop_asked():
        eight_bit = assess.eight_bit_copy(network, channels, parameters.seed)
    servable = Servable(network, temperature, parameters.image_size, detector, eight_bit)
    threshold = assess.choose_threshold(servable, channels)

    # --- Evaluation: of the very functions that are saved below ---
    release_memory()
    evaluation = assess.evaluate(servable, channels, threshold)
    foreign = assess.evaluate_foreign(
        servable, detector.threshold, channels, parameters, in_a_hurry=stop_asked()
    )
    robustness = assess.stress(servable, evaluation, lambda: stop_asked() or deadline.is_near())
    thresholds = {"confident": threshold, "foreign": detector.threshold}
    info = _model_info(channels, parameters, temperature, thresholds, training, evaluation, former)

    # --- Reports, then the artifact: a failure above leaves no model behind ---
    release_memory()
    findings = quality.find(evaluation, info, robustness, foreign)
    with writing_to(job.output_dir):
        report.write_findings(findings, job.output_dir)
        report.write_history(training, job.output_dir)
        confusion = job.output_dir / "confusion_matrix.png"
        event_log.add_picture("confusion_matrix", confusion, training.epochs[-1].epoch)
    with writing_to(job.model_dir):
        artifact.save(job.model_dir, servable, info, assess.check_images(channels, parameters.seed))
    report.announce(findings)
    log.info("The model is in %s, the reports are in %s", job.model_dir, job.output_dir)


def _read_data(
    job: Job, parameters: Hyperparameters, stop_asked: Callable[[], bool], cluster: Cluster
) -> "Channels":
    """Read the channels, search them for copies, and report on them."""
    from brain_tumor.data.neighbours import find_pairs
    from brain_tumor.data.pair_cache import remembering
    from brain_tumor.data.report import write_report
    from brain_tumor.training.channels import read_channels
    from brain_tumor.training.input_data import read_input_data_config

    configs = read_input_data_config(job.input_data)
    search = remembering(job.warm_pool_cache) if job.warm_pool_cache else find_pairs
    channels = read_channels(job.channels, parameters, configs, search, cluster, stop_asked)
    if cluster.is_chief:
        with writing_to(job.output_dir):
            write_report(channels.report, job.output_dir, "training job")
    # The names of all files once more, and nobody reads them again.
    channels.report.splits.clear()
    return channels


def _model_info(
    channels: "Channels",
    parameters: Hyperparameters,
    temperature: float,
    thresholds: dict[str, float],
    training: "Training",
    evaluation: "Evaluation",
    former: FormerModel | None,
) -> artifact.ModelInfo:
    from brain_tumor.training.export import second_look_size
    from brain_tumor.training.learn import library_versions

    leak_free = evaluation.leak_free()
    settled = parameters.model_dump(by_alias=True)
    data = {"fingerprint": channels.fingerprint(), "scans": channels.counts()}
    if former is not None:
        data["former_model"] = former.origin()
        # Where its weights came from in the first place.
        settled["pretrained"] = former.info.hyperparameters.get("pretrained")
    return artifact.ModelInfo(
        class_names=channels.class_names,
        image_size=parameters.image_size,
        second_look_size=second_look_size(parameters.image_size),
        temperature=temperature,
        thresholds=thresholds,
        versions=library_versions(),
        data=data,
        hyperparameters=settled,
        metrics={
            "evaluated_on": evaluation.channel,
            "accuracy": evaluation.accuracy,
            "leak_free_accuracy": leak_free.accuracy if leak_free else None,
            "kept_epochs": training.kept_epochs,
            "ended": training.ended,
            "precision": asdict(training.precision),
            "validation": asdict(training.validation),
        },
    )
