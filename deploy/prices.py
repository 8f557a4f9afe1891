"""What instances cost by the hour: a table with its date, and AWS's price list where asked."""

import json
from typing import Any

from deploy.session import Aws

REGION = "us-east-1"
DATE = "November 2026"
"""When the table was put together from public copies of AWS's price list; it may be out of date."""

USD_PER_HOUR = {
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.m5.2xlarge": 0.461,
    "ml.m5.4xlarge": 0.922,
    "ml.c5.large": 0.102,
    "ml.c5.xlarge": 0.204,
    "ml.c5.2xlarge": 0.408,
    "ml.c5.4xlarge": 0.816,
    "ml.c5.9xlarge": 1.836,
    "ml.g4dn.xlarge": 0.736,
    "ml.g4dn.2xlarge": 0.94,
    "ml.g5.xlarge": 1.408,
    "ml.g5.2xlarge": 1.515,
}
"""On demand, for training and hosting alike."""


def sentence(aws: Aws, instance_type: str, count: int = 1, hours: float | None = None) -> str:
    """Say what instances cost, or that it is not known.

    They run for so many hours at most, or until they are deleted.
    """
    price = USD_PER_HOUR.get(instance_type)
    machines = f"{count} x {instance_type}"
    if price is None:
        return (
            f"{machines}: the table of {DATE} has no price for it; "
            f"`python -m deploy cost {instance_type} --live` asks AWS."
        )
    told = f"{machines}: about {price * count:.2f} USD an hour"
    if hours is not None:
        unit = "hour" if hours == 1 else "hours"
        told += f", at most {price * count * hours:.2f} USD in {hours:g} {unit}"
    return f"{told} ({source(aws)})."


def source(aws: Aws) -> str:
    """Say of when and where the table is."""
    place = aws.session.region_name
    elsewhere = f"; {place} differs" if place and place != REGION else ""
    return f"on demand in {REGION}, table of {DATE}{elsewhere}"


def ask(aws: Aws, instance_type: str, component: str) -> float | None:
    """Ask AWS's price list for USD an hour in the region; None where it has none.

    A component of SageMaker is `Training` or `Hosting`.
    """
    wanted = {"instanceName": instance_type, "regionCode": aws.region, "component": component}
    filters = [
        {"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in wanted.items()
    ]
    # The price list is kept in few regions, for all of them.
    client = aws.client("pricing", region="us-east-1")
    found = client.get_products(ServiceCode="AmazonSageMaker", Filters=filters)["PriceList"]
    return next((price for item in found for price in _hourly(json.loads(item))), None)


def _hourly(product: dict[str, Any]) -> list[float]:
    terms = product["terms"].get("OnDemand", {}).values()
    dimensions = [size for term in terms for size in term["priceDimensions"].values()]
    return [
        float(size["pricePerUnit"]["USD"]) for size in dimensions if "USD" in size["pricePerUnit"]
    ]
