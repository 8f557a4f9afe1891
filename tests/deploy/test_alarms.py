"""Alarms of an endpoint, and those that roll an update back, as moto keeps them."""

from typing import Any

import pytest

from deploy import endpoint_life
from tests.deploy import hosted, loopback
from tests.deploy.conftest import succeed
from tests.deploy.hosted import MODEL, NAME, OTHER

UPDATE = ("endpoint", "--yes", "--update", "--model", OTHER)


def test_an_update_is_rolled_back_by_alarms_on_the_new_machines_alone_which_go_with_it(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--p99-ms", 900)
    lasting = set(hosted.alarms())
    # A run that was cut off left it.
    loopback.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{NAME}-0123456789-errors",
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
    )
    meanwhile: dict[str, Any] = {}
    with monkeypatch.context() as patch:
        patch.setattr(endpoint_life, "wait", lambda *_: meanwhile.update(hosted.alarms()))
        succeed(*UPDATE)
    config = hosted.config()["EndpointConfigName"]
    rollback = hosted.endpoint()["LastDeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]
    guards = [item["AlarmName"] for item in rollback]
    assert guards == [f"{config}-errors", f"{config}-latency", f"{config}-p99"]
    for guard in guards:
        dimensions = {item["Name"]: item["Value"] for item in meanwhile[guard]["Dimensions"]}
        assert dimensions == {
            "EndpointName": NAME,
            "VariantName": "main",
            "EndpointConfigName": config,
        }
    assert meanwhile[f"{config}-p99"]["Threshold"] == 900_000
    assert set(hosted.alarms()) == lasting


def test_one_stray_error_is_no_alarm(pushed: str) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    errors = hosted.alarms()[f"{NAME}-errors"]
    assert (errors["DatapointsToAlarm"], errors["EvaluationPeriods"]) == (2, 3)


def test_alarms_stay_while_an_update_goes_on_that_nobody_waits_for_and_delete_finds_them(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL)
    real = endpoint_life.update

    def begin(*given: Any) -> None:
        real(*given)
        (endpoint,) = loopback.sagemaker().endpoints.values()
        endpoint.endpoint_status = "Updating"

    monkeypatch.setattr(endpoint_life, "update", begin)
    assert "comes up" in succeed(*UPDATE, "--no-wait")
    config = hosted.config()["EndpointConfigName"]
    assert f"{config}-errors" in hosted.alarms()
    assert f"{config}-errors" in succeed("status")
    (endpoint,) = loopback.sagemaker().endpoints.values()
    endpoint.endpoint_status = "InService"
    # To see how it went, as the command has told.
    assert "runs exactly this already" in succeed(*UPDATE)
    assert f"{config}-errors" not in hosted.alarms()
