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
    for instance_type in instance_types or tuple(prices.USD_PER_HOUR):
        if live:
            for component in ("Training", "Hosting"):
                price = prices.ask(aws, instance_type, component)
                told = "not in AWS's price list" if price is None else f"{price:.4g} USD an hour"
                aws.tell(f"{instance_type} in {aws.region}, {component.lower()}: {told}")
        else:
            click.echo(prices.sentence(aws, instance_type))
