"""Asynchronous invocations with boto3: objects and notifications are files."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.asynchronous import AsyncConfig, AsyncInvocations
from local_test.emulator.hosting.bucket import Buckets
from local_test.emulator.hosting.endpoint import Endpoint, Limits
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import Single
from tests.emulator.hosting.conftest import fronted


@pytest.fixture
def client(stub: Server, tmp_path: Path) -> Iterator[Any]:
    """Give boto3's client for an asynchronous endpoint that reads and writes below `tmp_path`."""
    config = AsyncConfig(Buckets(tmp_path / "s3"), tmp_path / "told", "s3://out", "s3://failed")
    endpoint = Endpoint("stub", Single(stub), Limits(payload=1_000_000))
    with AsyncInvocations(endpoint, config) as calls, fronted(endpoint, calls) as client:
        yield client


def _told(folder: Path, topic: str) -> dict[str, Any]:
    """Wait for the one notification of a topic."""
    deadline = time.monotonic() + 20
    while not (found := list((folder / "told" / topic).glob("*.json"))):
        assert time.monotonic() < deadline, f"no notification of {topic}"
        time.sleep(0.02)
    (path,) = found
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def _object(folder: Path, uri: str) -> bytes:
    return (folder / "s3" / uri.removeprefix("s3://")).read_bytes()


def test_an_object_is_sent_whole_and_the_answer_becomes_an_object_with_a_notification(
    client: Any, tmp_path: Path
) -> None:
    scan = tmp_path / "s3/bucket/in/scan.jpg"
    scan.parent.mkdir(parents=True)
    scan.write_bytes(b"s" * 200_000)
    accepted = client.invoke_endpoint_async(
        EndpointName="stub",
        InputLocation="s3://bucket/in/scan.jpg",
        ContentType="image/jpeg",
        Accept="text/csv",
        InferenceId="study-7",
    )
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "study-7"
    told = _told(tmp_path, "success")
    assert told["invocationStatus"] == "Completed"
    assert told["inferenceId"] == "study-7"
    assert told["requestParameters"] == {
        "contentType": "image/jpeg",
        "endpointName": "stub",
        "inputLocation": "s3://bucket/in/scan.jpg",
    }
    assert told["responseParameters"] == {
        "contentType": "application/json",
        "outputLocation": accepted["OutputLocation"],
    }
    seen = json.loads(_object(tmp_path, accepted["OutputLocation"]))
    assert seen["headers"]["content-length"] == "200000"
    assert seen["headers"]["content-type"] == "image/jpeg"
    assert seen["headers"]["accept"] == "text/csv"
    assert seen["headers"]["x-amzn-sagemaker-inference-id"] == "study-7"
    assert list((tmp_path / "s3/failed").glob("*")) == []


def test_a_small_body_can_be_sent_with_the_call_and_the_output_named(
    client: Any, tmp_path: Path
) -> None:
    accepted = client.invoke_endpoint_async(
        EndpointName="stub", Body=b"x", S3OutputPathExtension="studies/7", Filename="scan.json"
    )
    assert accepted["OutputLocation"] == "s3://out/studies/7/scan.json"
    assert "inputLocation" not in _told(tmp_path, "success")["requestParameters"]
    assert _object(tmp_path, accepted["OutputLocation"])


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"status": 500, "message": "no memory"}, "ModelError: Received server error (500)"),
        ({"sleep": 3, "status": 200}, "ModelError: Received server error (0)"),
    ],
)
def test_a_failure_becomes_an_object_and_a_notification_with_its_reason(
    client: Any, tmp_path: Path, wanted: dict[str, Any], reason: str
) -> None:
    accepted = client.invoke_endpoint_async(
        EndpointName="stub", Body=json.dumps(wanted), InvocationTimeoutSeconds=1
    )
    told = _told(tmp_path, "error")
    assert told["invocationStatus"] == "Failed"
    assert told["failureReason"].startswith(reason)
    assert told["failureLocation"] == accepted["FailureLocation"]
    assert _object(tmp_path, accepted["FailureLocation"]).decode() in told["failureReason"]
    assert not (tmp_path / "s3/out").exists()


def test_an_input_that_is_not_there_fails_with_the_file_that_was_looked_for(
    client: Any, tmp_path: Path
) -> None:
    client.invoke_endpoint_async(EndpointName="stub", InputLocation="s3://bucket/none.jpg")
    told = _told(tmp_path, "error")
    assert str(tmp_path / "s3/bucket/none.jpg") in told["failureReason"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Exactly one of Body and InputLocation"),
        ({"Body": b"x", "InputLocation": "s3://b/k"}, "Exactly one of Body and InputLocation"),
        ({"Body": b"x" * 128_001}, "128001 bytes, the limit is 128000"),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3601}, "wanted 1 to 3600"),
        ({"Body": b"x", "RequestTTLSeconds": 21601}, "wanted 60 to 21600"),
    ],
)
def test_what_the_asynchronous_api_refuses(
    client: Any, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        client.invoke_endpoint_async(EndpointName="stub", **fields)


def test_an_asynchronous_endpoint_takes_no_other_calls(client: Any) -> None:
    with pytest.raises(ClientError, match="stub is an asynchronous endpoint"):
        client.invoke_endpoint(EndpointName="stub", Body=b"x")


@pytest.mark.parametrize("uri", ["https://b/k", "s3://b/../../etc/passwd", "s3:///etc/passwd"])
def test_a_location_that_is_no_object_is_refused(tmp_path: Path, uri: str) -> None:
    with pytest.raises(EmulatorError, match="wanted s3://BUCKET/KEY"):
        Buckets(tmp_path).path(uri)
