"""`cost`: a table with its date, AWS's price list on request, and no figure that nobody knows."""

import json
from typing import Any

import pytest
from botocore.stub import Stubber

from deploy import prices
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed


def test_the_table_has_a_date_and_a_region(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = succeed("cost", "ml.m5.xlarge")
    assert "ml.m5.xlarge     0.23 USD an hour" in printed
    assert prices.DATE in printed
    assert "us-east-1" in printed
    assert "eu-central-1 differs" in printed
    # Who has not chosen a region yet may ask too.
    monkeypatch.delenv("AWS_REGION")
    assert "differs" not in succeed("cost")


def test_what_the_table_does_not_hold_is_not_guessed(account: str) -> None:
    printed = succeed("cost", "ml.p5.48xlarge")
    assert "the table has no price for it" in printed
    assert "USD" not in printed


def test_aws_is_asked_for_the_region_and_the_use() -> None:
    aws = Aws(None, loopback.REGION)
    size = {"pricePerUnit": {"USD": "0.2800000000"}, "unit": "Hrs"}
    product: dict[str, Any] = {"terms": {"OnDemand": {"A": {"priceDimensions": {"B": size}}}}}
    filters = [
        {"Type": "TERM_MATCH", "Field": "instanceName", "Value": "ml.m5.xlarge"},
        {"Type": "TERM_MATCH", "Field": "regionCode", "Value": loopback.REGION},
        {"Type": "TERM_MATCH", "Field": "component", "Value": "Training"},
    ]
    wanted = {"ServiceCode": "AmazonSageMaker", "Filters": filters}
    # moto has no price list.
    with Stubber(aws.client("pricing", region="us-east-1")) as stub:
        stub.add_response("get_products", {"PriceList": [json.dumps(product)]}, wanted)
        assert prices.ask(aws, "ml.m5.xlarge", "Training") == pytest.approx(0.28)
        stub.add_response("get_products", {"PriceList": []}, wanted)
        assert prices.ask(aws, "ml.m5.xlarge", "Training") is None
