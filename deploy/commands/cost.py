"""`cost`: what instances cost by the hour."""

import click

from deploy import prices
from deploy.options import aws_command
from deploy.session import Aws


@aws_command("cost", "cost ml.m5.xlarge ml.g5.xlarge", "cost ml.c7i.2xlarge --live")
@click.argument("instance_types", metavar="[INSTANCE_TYPE]...", nargs=-1)
@click.option(
    "--live", is_flag=True, help="Ask AWS's price list for this region; needs credentials."
)
def cost(aws: Aws, instance_types: tuple[str, ...], live: bool) -> None:
    """Tell what instances cost by the hour.

    By a table with its date: without a type, all of it. Storage, traffic and requests come on top;
    spot instances cost less.
    """
    wanted = instance_types or tuple(prices.USD_PER_HOUR)
    if live:
        _ask(aws, wanted)
        return
    for instance_type in wanted:
        price = prices.USD_PER_HOUR.get(instance_type)
        told = "the table has no price for it" if price is None else f"{price:g} USD an hour"
        click.echo(f"{instance_type:16} {told}")
    click.echo(f"({prices.source(aws)}; --live asks AWS)")


def _ask(aws: Aws, wanted: tuple[str, ...]) -> None:
    for instance_type in wanted:
        for component in ("Training", "Hosting"):
            price = prices.ask(aws, instance_type, component)
            told = "not in AWS's price list" if price is None else f"{price:.4g} USD an hour"
            aws.tell(f"{instance_type} in {aws.region}, {component.lower()}: {told}")
