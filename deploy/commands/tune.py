"""`tune`: a tuning job of SageMaker over the ranges that the image proposes."""

from datetime import UTC, datetime
from typing import Any

import click

from deploy import image, jobs, names, tags
from deploy.errors import DeployError
from deploy.job_options import ask_schema, job_options, make_job
from deploy.options import aws_command
from deploy.session import Aws

_LONGEST_NAME = 32  # SageMaker appends to it for the names of the training jobs
_TUNED = ("learning-rate", "dropout", "weight-decay")
_KINDS = {"integer": "IntegerParameterRanges", "number": "ContinuousParameterRanges"}


@aws_command(
    "tune --jobs 10 --parallel 2",
    "tune --tune learning-rate --tune dropout --spot",
    "tune --range learning-rate=1e-5:1e-3 -s epochs=10",
)
@job_options
@click.option("--name", help="Name, at most 32 characters. [default: the project and the time]")
@click.option(
    "--tune",
    "tuned",
    multiple=True,
    metavar="NAME",
    help="A hyperparameter to tune within the image's range. [default: learning-rate, dropout, "
    "weight-decay]",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="NAME=LOW:HIGH",
    callback=image.parse_settings,
    help="A hyperparameter to tune within this range, or NAME=A,B,C to choose from.",
)
@click.option(
    "--jobs",
    "most",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Training jobs in all.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Training jobs at once.",
)
def tune(
    aws: Aws,
    name: str | None,
    tuned: tuple[str, ...],
    ranges: dict[str, str],
    most: int,
    parallel: int,
    **chosen: Any,
) -> None:
    """Search for better hyperparameters by a tuning job.

    It is many training jobs; the best is that with the best validation accuracy. The test channel
    is left out: what chooses must not be measured on it. Train again with the winner, and look at
    the test figures once.
    """
    name = name or f"{aws.project}-{datetime.now(UTC):%y%m%d-%H%M%S}"
    names.job(aws, name, _LONGEST_NAME)
    schema = ask_schema(aws, chosen)
    fixed = {name.replace("_", "-") for name in chosen["hyperparameters"]}
    wanted = _ranges(schema, tuned, ranges, fixed)
    job = make_job(aws, chosen)
    request = tuning_request(aws, name, job, wanted, most, parallel)
    told = job.cost(aws, most)
    aws.confirm(f"{most} jobs of at most {job.minutes} minutes. {told}\nStart {name}?")
    aws.client("sagemaker").create_hyper_parameter_tuning_job(**request)
    if aws.dry_run:
        return
    click.echo(
        f"started {name}; to see its best job: aws sagemaker describe-hyper-parameter-tuning-job "
        f"--hyper-parameter-tuning-job-name {name} --query BestTrainingJob"
    )


def tuning_request(
    aws: Aws, name: str, job: jobs.Job, ranges: dict[str, Any], most: int, parallel: int
) -> dict[str, Any]:
    """Make the parameters of CreateHyperParameterTuningJob.

    Without checkpoints: nothing promises each of its jobs a place of its own for them, and the
    image refuses those of other hyperparameters.
    """
    definition = jobs.definition(aws, job)
    inputs = [item for item in definition["InputDataConfig"] if item["ChannelName"] != "test"]
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "val_accuracy"},
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": most,
                "MaxParallelTrainingJobs": min(parallel, most),
            },
            "ParameterRanges": ranges,
            "TrainingJobEarlyStoppingType": "Auto",
        },
        "TrainingJobDefinition": {
            **definition,
            "InputDataConfig": inputs,
            "StaticHyperParameters": job.hyperparameters,
        },
        "Tags": tags.as_list(aws.project),
    }


def _ranges(
    schema: dict[str, Any], tuned: tuple[str, ...], given: dict[str, str], fixed: set[str]
) -> dict[str, list[dict[str, Any]]]:
    """Make ParameterRanges: the image's own for `tuned`, those that were given beside them.

    Without any it is a default choice, of what is not `fixed`.
    """
    known = schema["properties"]
    if not tuned and not given:
        tuned = tuple(name for name in _TUNED if name not in fixed)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys([*tuned, *given]):
        image.check_known(schema, name)
        if name in fixed:
            raise DeployError(f"{name} is fixed by -s, so it cannot be tuned: leave out one.")
        field = known[name]
        text = given.get(name)
        limits = _parse(name, text, field) if text else field.get("tuning")
        if limits is None:
            raise DeployError(f"The image proposes no range for {name}: give one by --range.")
        kind = "CategoricalParameterRanges" if "Values" in limits else _KINDS[field["type"]]
        found.setdefault(kind, []).append({"Name": name, **limits})
    if not found:
        raise DeployError("All that is tuned by default is fixed by -s: name others by --tune.")
    return found


def _parse(name: str, text: str, field: dict[str, Any]) -> dict[str, Any]:
    low, colon, high = text.partition(":")
    if not colon:
        return {"Values": text.split(",")}
    for value in (low, high):
        image.check_value(name, field, value)
    scaling = field.get("tuning", {}).get("ScalingType", "Auto")
    return {"MinValue": low, "MaxValue": high, "ScalingType": scaling}
