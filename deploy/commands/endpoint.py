"""`endpoint`: the model behind a name that answers, of every kind that SageMaker has."""

from typing import Any

import click
from click.core import ParameterSource

from deploy import alarms, endpoint_life, hosting, image, models, names, places, scaling, sources
from deploy.endpoint_update import Update
from deploy.hosting import Hosting
from deploy.options import aws_command
from deploy.session import Aws
from deploy.sources import Source

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
@click.option("--model", "source", help=sources.HELP)
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
@click.option(
    "--detailed-metrics/--no-detailed-metrics",
    default=False,
    show_default=True,
    help="/metrics and each machine's load in CloudWatch, which bills them by the gigabyte.",
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
    names.topic(aws, chosen["topic"])
    there = endpoint_life.describe(aws, name)
    update = None
    if there and there["EndpointStatus"] != "Failed":
        update = Update(aws, there, chosen, _given(chosen))
        chosen = update.wanted
    choice = _hosting(chosen)
    if update:
        update.check(choice)
    served = _find(aws, chosen)
    for model in served:
        aws.tell(f"Model: {models.sentence(*model)}")
    if update:
        update.tell_image(served[0][1])
    told = _cost(aws, choice, update, shadow=len(served) > 1)
    aws.confirm(f"{told}\n{'Update' if update else 'Make'} {name}?")
    config = _make_config(aws, name, choice, served, chosen["environment"])
    endpoint_life.make_log_group(aws, name)
    limits = _limits(choice, chosen)
    if update:
        update.run(choice, config, limits)
    else:
        alarms.make(aws, name, limits, chosen["topic"])
        _create(aws, name, config, choice, chosen)
    if chosen["wait"]:
        how = _ASKED_BY.get(choice.kind, "")
        aws.tell(f"Next: python -m deploy predict scan.jpg --endpoint {name}{how}")
    else:
        # Autoscaling is refused before the endpoint answers.
        aws.tell(
            f"{name} comes up. Run the same again with --update to see it, and for scaling and "
            "alarms to be as chosen."
        )


def _cost(aws: Aws, choice: Hosting, update: Update | None, *, shadow: bool) -> str:
    told = choice.cost(aws, update.machines(choice) if update else None)
    if shadow:
        told += " The shadow costs as much again."
    if update and choice.has_instances:
        told += " Those that it replaces are paid until they go."
    return told


def _given(chosen: dict[str, Any]) -> set[str]:
    """Name the options that stand on the command line."""
    source = click.get_current_context().get_parameter_source
    return {name for name in chosen if source(name) is not ParameterSource.DEFAULT}


def _hosting(chosen: dict[str, Any]) -> Hosting:
    wanted = hosting.kinds(chosen)
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
                *("capture_percent", "topic", "shadow_percent", "detailed_metrics"),
            )
        },
    )


def _find(aws: Aws, chosen: dict[str, Any]) -> list[tuple[Source, str | None]]:
    """Find the model and the shadow, where one is wanted, each with its image."""
    several = chosen["multi_model"]
    found = [
        Source(places.readable(aws, several)) if several else sources.find(aws, chosen["source"])
    ]
    if chosen["shadow"]:
        found.append(sources.find(aws, chosen["shadow"]))
    return [(source, models.choose(aws, source, chosen["image_uri"])) for source in found]


def _make_config(
    aws: Aws,
    name: str,
    choice: Hosting,
    served: list[tuple[Source, str | None]],
    environment: dict[str, str],
) -> str:
    if choice.kind == "async":
        environment = {**hosting.ASYNC_SETTINGS, **environment}
    made = [
        models.make(
            aws,
            *model,
            environment,
            several=choice.kind == "multi-model",
            isolation=choice.has_instances,
        )
        for model in served
    ]
    return hosting.make_config(aws, name, choice, *made)


def _limits(choice: Hosting, chosen: dict[str, Any]) -> alarms.Limits | None:
    # What waits in a queue may take its time.
    queued = choice.kind == "async"
    return None if queued else alarms.Limits(chosen["mean_ms"], chosen["p99_ms"])


def _create(aws: Aws, name: str, config: str, choice: Hosting, chosen: dict[str, Any]) -> None:
    endpoint_life.create(aws, name, config)
    if chosen["wait"]:
        if not aws.dry_run:
            endpoint_life.wait(aws, name, config)
        scaling.follow(aws, name, choice, chosen["requests_a_minute"])
