"""Alarms of an endpoint, and those that roll an update back, as moto keeps them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.cloudwatch.models import CloudWatchBackend

from deploy import alarms, endpoint_life
from tests.deploy import hosted, loopback
from tests.deploy.conftest import deploy, succeed
from tests.deploy.hosted import MODEL, NAME, OTHER

UPDATE = ("endpoint", "--yes", "--update", "--model", OTHER)


def test_an_update_is_rolled_back_by_alarms_on_the_new_machines_alone_which_go_with_it(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--p99-ms", 900)
    # Its own are no guards of the other, though its name looks like that of a configuration.
    dated = f"{NAME}-2026112601"
    succeed("endpoint", "--yes", "--model", MODEL, "--name", dated)
    lasting = set(hosted.alarms())
    assert f"{dated}-errors" in lasting
    # A run that was cut off left it.
    loopback.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{NAME}-0123456789-errors",
        Dimensions=[
            {"Name": "EndpointName", "Value": NAME},
            {"Name": "EndpointConfigName", "Value": f"{NAME}-0123456789"},
        ],
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


def _begin(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Begin an update that goes on and that nobody waits for; give moto's endpoint."""
    succeed("endpoint", "--yes", "--model", MODEL)
    (endpoint,) = loopback.sagemaker().endpoints.values()
    real = endpoint_life.update

    def begin(*given: Any) -> None:
        real(*given)
        endpoint.endpoint_status = "Updating"

    with monkeypatch.context() as patch:
        patch.setattr(endpoint_life, "update", begin)
        assert "comes up" in succeed(*UPDATE, "--no-wait")
    return endpoint


def test_alarms_stay_while_an_update_goes_on_that_nobody_waits_for_and_delete_finds_them(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = _begin(monkeypatch)
    config = hosted.config()["EndpointConfigName"]
    assert f"{config}-errors" in hosted.alarms()
    assert f"{config}-errors" in succeed("status")
    endpoint.endpoint_status = "InService"
    # To see how it went, as the command has told.
    assert "runs exactly this already" in succeed(*UPDATE)
    assert f"{config}-errors" not in hosted.alarms()


def test_alarms_of_an_update_go_where_a_second_run_sees_it_rolled_back(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = _begin(monkeypatch)
    config = hosted.config()["EndpointConfigName"]

    def roll_back(*_: object) -> dict[str, Any]:
        endpoint.endpoint_status, endpoint.endpoint_config_name = "InService", "old"
        return hosted.endpoint()

    monkeypatch.setattr(endpoint_life, "settle", roll_back)
    assert "was rolled back" in deploy(*UPDATE).output
    assert f"{config}-errors" not in hosted.alarms()


def _keep_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an alarm that is there keep its state when it is put again, which moto forgets."""
    real = CloudWatchBackend.put_metric_alarm

    def put(backend: Any, name: str, **given: Any) -> Any:
        there = backend.alarms.get(name)
        alarm = real(backend, name, **given)
        alarm.state_value = there.state_value if there else "INSUFFICIENT_DATA"
        return alarm

    monkeypatch.setattr(CloudWatchBackend, "put_metric_alarm", put)


def test_an_alarm_that_rolled_back_does_not_end_a_second_try_at_once(
    pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = _begin(monkeypatch)
    guard = f"{hosted.config()['EndpointConfigName']}-errors"
    loopback.client("cloudwatch").set_alarm_state(
        AlarmName=guard, StateValue="ALARM", StateReason="It failed"
    )
    _keep_states(monkeypatch)
    # The update is over, and nobody has looked.
    endpoint.endpoint_status = "InService"
    endpoint.endpoint_config_name = next(iter(loopback.sagemaker().endpoint_configs))
    states: list[str] = []
    monkeypatch.setattr(
        endpoint_life, "wait", lambda *_: states.append(hosted.alarms()[guard]["StateValue"])
    )
    succeed(*UPDATE)
    assert states == ["INSUFFICIENT_DATA"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            ClientError({"Error": {"Code": "Busy", "Message": "Not now"}}, "DeleteAlarms"),
            "may be left, and are billed: AWS refused DeleteAlarms (Busy): Not now",
        ),
        (KeyboardInterrupt(), "Aborted!"),
    ],
)
def test_an_endpoint_on_other_machines_scales_also_where_the_updates_alarms_cannot_be_removed(
    pushed: str, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    succeed("endpoint", "--yes", "--model", MODEL, "--most-instances", 4)
    scales = hosted.scaling()
    real = endpoint_life.wait
    forget = alarms._forget

    def fail(*_: object) -> None:
        raise error

    def wait(*given: Any) -> None:
        real(*given)
        monkeypatch.setattr(alarms, "_forget", fail)

    monkeypatch.setattr(endpoint_life, "wait", wait)
    result = deploy(*UPDATE, "--instance-type", "ml.c5.xlarge")
    assert told in result.output
    assert hosted.scaling() == scales
    guard = f"{hosted.config()['EndpointConfigName']}-errors"
    assert guard in hosted.alarms()
    monkeypatch.setattr(endpoint_life, "wait", real)
    monkeypatch.setattr(alarms, "_forget", forget)
    succeed(*UPDATE)
    assert guard not in hosted.alarms()
