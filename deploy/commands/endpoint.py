"""`endpoint`: the model behind a name that answers, of every kind that SageMaker has."""

from typing import Any

import click
from click.core import ParameterSource

from deploy import alarms, endpoint_life, hosting, image, models, names, running, scaling
from deploy.errors import DeployError
from deploy.hosting import Hosting
from deploy.options import aws_command
from deploy.session import Aws

# What `predict` has to be told of a kind.
_ASKED_BY = {"async": " --async", "multi-model": " --target-model NAME.tar.gz"}


@aws_command(
    "endpoint",
    "endpoint --model jobs/brain-tumor-1/model --instance-type ml.c5.xlarge --most-instances 4",
    "endpoint --serverless --memory-mb 4096",
    "endpoint --async --instances 0 --most-instances 2",
    "endpoint --multi-model s3://BUCKET/models/",
    "endpoint --shadow brain-tumor-2 --capture 10",
    "endpoint --model brain-tumor-2 --update",
)
@click.option("--name", help="Name of the endpoint. [default: PROJECT-endpoint]")
@click.option("--model", "source", help=models.HELP)
@click.option("--image", "image_uri", help="URI in ECR. [default: what was last pushed there]")
@click.option("--serverless", is_flag=True, help="Costs nothing while nobody asks; no machine.")
@click.option("--async", "queued", is_flag=True, help="Bodies of up to 1 GB, by way of the bucket.")
@click.option("--multi-model", metavar="S3PREFIX", help="All archives below it, on one machine.")
@click.option("--shadow", help="A second model that gets the same requests, unheard; as --model.")
@click.option(
    "--shadow-percent",
    type=click.IntRange(1, 100),
    default=100,
    show_default=True,
    help="Share that it gets.",
)
@click.option(
    "--instance-type", default="ml.c5.large", show_default=True, help="`cost` tells what it costs."
)
@click.option(
    "--instances",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Machines; 0 only with --async.",
)
@click.option(
    "--most-instances",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Autoscaling goes up to it.",
)
@click.option(
    "--requests-a-minute",
    type=click.FloatRange(0, min_open=True),
    default=3000.0,
    show_default=True,
    help="Of one machine; with more than that another one comes.",
)
@click.option(
    "--memory-mb",
    # All that AWS takes.
    type=click.Choice([1024 * gigabytes for gigabytes in range(1, 7)]),
    default=3072,
    show_default=True,
    help="Memory of a serverless endpoint.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 200),
    default=5,
    show_default=True,
    help="Requests at once of a serverless endpoint.",
)
@click.option(
    "--capture",
    "capture_percent",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    help="Percent of requests, scans included, and answers that are written into the bucket.",
)
@click.option("--mean-ms", default=1000.0, show_default=True, help="Alarm above this mean.")
@click.option("--p99-ms", default=5000.0, show_default=True, help="Alarm above this 99th percent.")
@click.option("--topic", help="ARN of an SNS topic for alarms, and for what --async has done.")
@click.option(
    "-e",
    "environment",
    multiple=True,
    metavar="NAME=VALUE",
    callback=image.parse_settings,
    help="A variable of the container, such as BRAIN_TUMOR_THREADS=16.",
)
@click.option("--update", is_flag=True, help="Exchange what is named, while it answers.")
@click.option("--wait/--no-wait", default=True, help="Wait until it answers.")
def endpoint(aws: Aws, name: str | None, **chosen: Any) -> None:
    """Let a trained model answer requests, until `delete`.

    Alarms watch errors and latency. --update brings the new model up beside the old one, and goes
    back to the old one when it does not come up or an alarm goes off. What its options leave out
    stays as it is, but for the image.
    """
    name = names.endpoint(aws, name)
    there = endpoint_life.describe(aws, name)
    lives = there is not None and there["EndpointStatus"] != "Failed"
    if there and lives and chosen["update"]:
        chosen = _keep(running.options(aws, there), chosen)
    choice = _hosting(chosen)
    if lives:
        _check_update(aws, name, chosen)
    again = " The shadow costs as much again." if chosen["shadow"] else ""
    aws.confirm(f"{choice.cost(aws)}{again}\n{'Update' if lives else 'Make'} {name}?")
    config = _make_config(aws, name, choice, chosen)
    made = _make_watching(aws, name, choice, chosen)
    if not there or not lives:
        endpoint_life.create(aws, name, config)
        _wait(aws, name, config, chosen)
    elif there["EndpointConfigName"] == config:
        click.echo(f"{name} runs exactly this already.")
        _wait(aws, name, config, chosen)
    else:
        _exchange(aws, name, config, hosting.deployment(choice, made), chosen)
    if chosen["wait"]:
        _scale(aws, name, choice, chosen)
        how = _ASKED_BY.get(choice.kind, "")
        aws.tell(f"Next: python -m deploy predict scan.jpg --endpoint {name}{how}")


def _check_update(aws: Aws, name: str, chosen: dict[str, Any]) -> None:
    """Refuse what an endpoint that is there cannot be given, before anything is made."""
    if not chosen["update"]:
        raise DeployError(
            f"The endpoint {name} is there already: exchange what it runs by --update, or give "
            "another --name."
        )
    if not chosen["wait"] and scaling.describe(aws, name):
        raise DeployError(
            f"{name} scales, which has to stop for an update and to start again after it: leave "
            "out --no-wait."
        )


def _keep(runs: dict[str, Any], chosen: dict[str, Any]) -> dict[str, Any]:
    """Let what the command line leaves out be as it runs, and tell what changes."""
    source = click.get_current_context().get_parameter_source
    given = {name for name in chosen if source(name) is not ParameterSource.DEFAULT}
    for name in sorted(given & runs.keys()):
        if runs[name] != chosen[name]:
            click.echo(f"{name.replace('_', ' ')}: {runs[name]} -> {chosen[name]}")
    if given.intersection(running.KINDS):
        runs = {name: value for name, value in runs.items() if name not in running.KINDS}
    if chosen["multi_model"]:
        runs.pop("source", None)
    return {**chosen, **{name: value for name, value in runs.items() if name not in given}}


def _hosting(chosen: dict[str, Any]) -> Hosting:
    kinds = {
        "serverless": chosen["serverless"],
        "async": chosen["queued"],
        "multi-model": chosen["multi_model"],
    }
    wanted = [kind for kind, given in kinds.items() if given]
    if len(wanted) > 1:
        raise click.UsageError(f"Choose one of --{' and --'.join(wanted)}.")
    if chosen["shadow"] and wanted:
        raise click.UsageError(f"--shadow goes with a real-time endpoint, not --{wanted[0]}.")
    if chosen["multi_model"] and chosen["source"]:
        raise click.UsageError("--multi-model names the models; leave out --model.")
    return Hosting(
        kind=wanted[0] if wanted else "real-time",
        instance_count=chosen["instances"],
        **{
            field: chosen[field]
            for field in (
                *("instance_type", "most_instances", "memory_mb", "concurrency"),
                *("capture_percent", "topic", "shadow_percent"),
            )
        },
    )


def _make_config(aws: Aws, name: str, choice: Hosting, chosen: dict[str, Any]) -> str:
    environment = chosen["environment"]
    if choice.kind == "async":
        environment = {**hosting.ASYNC_SETTINGS, **environment}

    def make(source: str) -> str:
        return models.make(
            aws,
            source,
            chosen["image_uri"],
            environment,
            several=choice.kind == "multi-model",
            isolation=choice.has_instances,
        )

    model = make(chosen["multi_model"] or models.find(aws, chosen["source"]))
    shadow = make(models.find(aws, chosen["shadow"])) if chosen["shadow"] else None
    return hosting.make_config(aws, name, choice, model, shadow)


def _make_watching(aws: Aws, name: str, choice: Hosting, chosen: dict[str, Any]) -> list[str]:
    """Make log group and alarms, before the update that the alarms roll back; name the alarms."""
    endpoint_life.make_log_group(aws, name)
    limits = alarms.Limits(chosen["mean_ms"], chosen["p99_ms"])
    # What waits in a queue may take its time.
    return alarms.make(aws, name, None if choice.kind == "async" else limits, chosen["topic"])


def _exchange(
    aws: Aws, name: str, config: str, deployment: dict[str, Any], chosen: dict[str, Any]
) -> None:
    with scaling.paused(aws, name):
        endpoint_life.update(aws, name, config, deployment)
        _wait(aws, name, config, chosen)


def _wait(aws: Aws, name: str, config: str, chosen: dict[str, Any]) -> None:
    if not chosen["wait"]:
        # Autoscaling is refused before the endpoint answers.
        aws.tell(f"{name} comes up. Run the same again with --update to see it, and to scale it.")
    elif not aws.dry_run:
        endpoint_life.wait(aws, name, config)


def _scale(aws: Aws, name: str, choice: Hosting, chosen: dict[str, Any]) -> None:
    if choice.scales:
        scaling.start(aws, name, choice, chosen["requests_a_minute"])
    else:
        scaling.stop(aws, name)
