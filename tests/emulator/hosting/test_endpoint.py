"""Real-time invocations with boto3, of a stub behind the emulator's front."""

import base64
import contextlib
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from local_test.emulator.hosting import front
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.targets import Single
from tests.emulator.hosting.conftest import aws_client
from tests.emulator.shapes import assert_answer

CALL = {"EndpointName": "stub", "ContentType": "application/json"}


def _invoke(client: Any, wanted: dict[str, Any] | bytes, **fields: Any) -> Any:
    body = wanted if isinstance(wanted, bytes) else json.dumps(wanted).encode()
    return client.invoke_endpoint(**{**CALL, "Body": body, **fields})


def _refused(client: Any, wanted: dict[str, Any] | bytes, **fields: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        _invoke(client, wanted, **fields)
    response: dict[str, Any] = refused.value.response
    return response


def _seen(answered: Any) -> Any:
    return json.loads(answered["Body"].read())


def test_a_container_gets_the_headers_of_the_call_and_no_others_of_the_caller(client: Any) -> None:
    answered = _invoke(
        client,
        b"a scan",
        ContentType="image/jpeg",
        Accept="text/csv",
        CustomAttributes="c=1",
        InferenceId="i-1",
        SessionId="NEW_SESSION",
        TargetVariant="AllTraffic",
        PrefixAwareId="p",
    )
    seen = _seen(answered)
    assert base64.b64decode(seen["body"]) == b"a scan"
    assert seen["path"] == "/invocations"
    headers = seen["headers"]
    trace = headers.pop("x-amzn-trace-id")
    assert trace.startswith("Root=1-")
    assert headers == {
        "host": "model.aws.local:8080",
        "user-agent": "AHC/2.0",
        "content-length": "6",
        "content-type": "image/jpeg",
        "accept": "text/csv",
        "x-amzn-sagemaker-custom-attributes": "c=1",
        "x-amzn-sagemaker-inference-id": "i-1",
        "x-amzn-sagemaker-session-id": "NEW_SESSION",
    }


def test_a_call_without_types_reaches_it_as_bytes_and_without_accept(client: Any) -> None:
    headers = _seen(client.invoke_endpoint(EndpointName="stub", Body=b"x"))["headers"]
    assert headers["content-type"] == "application/octet-stream"
    assert "accept" not in headers


def test_a_caller_gets_four_headers_of_the_container_and_the_variant(client: Any) -> None:
    answered = _invoke(
        client,
        {
            "status": 200,
            "message": "1,2",
            "headers": {
                "Content-Type": "text/csv; charset=utf-8",
                "X-Amzn-SageMaker-Custom-Attributes": "model=3",
                "X-Amzn-SageMaker-New-Session-Id": "s; Expires=2030-01-01T00:00:00Z",
                "X-Amzn-SageMaker-Closed-Session-Id": "t",
                "Retry-After": "3",
                "Server-Timing": "x",
            },
        },
    )
    assert answered["Body"].read() == b"1,2"
    assert answered["ContentType"] == "text/csv; charset=utf-8"
    assert answered["CustomAttributes"] == "model=3"
    assert answered["NewSessionId"].startswith("s; Expires")
    assert answered["ClosedSessionId"] == "t"
    assert answered["InvokedProductionVariant"] == "AllTraffic"
    headers = answered["ResponseMetadata"]["HTTPHeaders"]
    assert not {"retry-after", "server-timing"} & headers.keys()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "client"), (415, "client"), (500, "server"), (503, "server")]
)
def test_an_error_of_the_container_is_a_model_error_with_its_status_and_message(
    client: Any, status: int, kind: str
) -> None:
    refused = _refused(client, {"status": status, "message": "no scan: 0 bytes"})
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert refused["Error"]["Code"] == "ModelError"
    assert refused["Error"]["Message"].startswith(f"Received {kind} error ({status}) from primary")
    assert refused["OriginalStatusCode"] == status
    assert refused["OriginalMessage"] == "no scan: 0 bytes"
    assert refused["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/stub")


def test_a_long_message_is_cut_at_2048_characters(client: Any) -> None:
    refused = _refused(client, {"status": 500, "message": "m" * 3000})
    assert refused["OriginalMessage"] == "m" * 2048


def test_a_redirect_is_not_followed_but_an_error(client: Any) -> None:
    refused = _refused(client, {"status": 307, "headers": {"Location": "/ping"}})
    assert refused["OriginalStatusCode"] == 307


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"sleep": 2, "status": 200}, "Your invocation timed out"),
        ({"parts": ["a", "b", "c"], "pause": 0.7}, "Your invocation timed out"),
        ({"cut": True}, "the connection broke"),
        ({"fill": 100_001}, "the limit is 100000 bytes"),
    ],
)
def test_no_whole_answer_in_time_and_size_is_a_model_error_of_status_0(
    client: Any, wanted: dict[str, Any], message: str
) -> None:
    refused = _refused(client, wanted)
    assert refused["Error"]["Code"] == "ModelError"
    assert refused["OriginalStatusCode"] == 0
    assert message in refused["OriginalMessage"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"EndpointName": "other"}, "Endpoint other of account 123456789012 not found"),
        ({"Body": b"x" * 100_001}, "'body' failed to satisfy constraint: Member must have length"),
        ({"CustomAttributes": "c" * 1025}, "'customAttributes' failed"),
        ({"InferenceId": "i" * 65}, "'inferenceId' failed"),
        ({"SessionId": "not a session"}, "'sessionId' failed"),
        ({"Accept": "a" * 1025}, "'accept' failed"),
        ({"TargetVariant": "Other"}, "Variant Other not found"),
        ({"TargetModel": "m.tar.gz"}, "Target model header should not be specified"),
    ],
)
def test_what_the_api_refuses_does_not_reach_the_container(
    client: Any, fields: dict[str, Any], message: str
) -> None:
    refused = _refused(client, {"status": 500}, **fields)
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert refused["Error"]["Code"] == "ValidationError"
    assert message in refused["Error"]["Message"]


def test_a_stream_comes_in_the_parts_that_the_container_sends(client: Any) -> None:
    answered = client.invoke_endpoint_with_response_stream(
        EndpointName="stub",
        Body=json.dumps({"parts": ["first ", "second ", "third"], "pause": 0.1}),
        Accept="text/plain",
    )
    assert answered["ContentType"] == "text/plain"
    assert answered["InvokedProductionVariant"] == "AllTraffic"
    parts = [event["PayloadPart"]["Bytes"] for event in answered["Body"]]
    assert parts == [b"first ", b"second ", b"third"]


def test_the_streaming_api_has_a_name_of_its_own_for_accept(client: Any) -> None:
    answered = client.invoke_endpoint_with_response_stream(
        EndpointName="stub", Body=b"x", Accept="text/csv"
    )
    body = b"".join(event["PayloadPart"]["Bytes"] for event in answered["Body"])
    assert json.loads(body)["headers"]["accept"] == "text/csv"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"parts": ["a", "b"], "break": True}, "StreamBroken: the connection broke"),
        (
            {"parts": ["a", "b", "c"], "pause": 0.7},
            "ModelInvocationTimeExceeded: no complete answer within 1.5 s",
        ),
    ],
)
def test_a_stream_that_breaks_off_ends_with_an_error_after_what_came(
    client: Any, wanted: dict[str, Any], message: str
) -> None:
    answered = client.invoke_endpoint_with_response_stream(
        EndpointName="stub", Body=json.dumps(wanted)
    )
    with contextlib.closing(answered["Body"]) as stream:
        events = iter(stream)
        assert next(events) == {"PayloadPart": {"Bytes": b"a"}}
        with pytest.raises(EventStreamError) as broken:
            list(events)
    assert broken.value.response["Error"]["Code"] == "ModelStreamError"
    # boto3 drops the field ErrorCode of a stream's error, so the message has it too.
    assert broken.value.response["Error"]["Message"].startswith(message)


def test_an_error_before_the_stream_is_a_model_error(client: Any) -> None:
    with pytest.raises(ClientError) as refused:
        client.invoke_endpoint_with_response_stream(
            EndpointName="stub", Body=json.dumps({"status": 500, "message": "broken"})
        )
    assert refused.value.response["OriginalMessage"] == "broken"


def test_a_real_time_endpoint_takes_no_asynchronous_calls(client: Any) -> None:
    with pytest.raises(ClientError, match="stub is a real-time endpoint"):
        client.invoke_endpoint_async(EndpointName="stub", InputLocation="s3://bucket/key")


def test_the_container_sees_its_variables_and_nothing_of_batch_or_several_models(
    client: Any, stub: Server
) -> None:
    environment = _seen(_invoke(client, b"x"))["environment"]
    assert environment["COLOUR"] == "green"
    assert not {"SAGEMAKER_BATCH", "SAGEMAKER_MULTI_MODEL"} & environment.keys()
    assert stub.ping().healthy


def test_the_endpoint_is_described_as_in_service_and_others_are_not_found(stub: Server) -> None:
    with (
        front.running(Endpoint("stub", Single(stub))) as url,
        contextlib.closing(aws_client("sagemaker", url)) as client,
    ):
        client.get_waiter("endpoint_in_service").wait(EndpointName="stub")
        described = client.describe_endpoint(EndpointName="stub")
        assert abs(described["CreationTime"].timestamp() - time.time()) < 60
        described.pop("ResponseMetadata")
        assert_answer("DescribeEndpoint", described)
        with pytest.raises(ClientError, match="Could not find endpoint") as refused:
            client.describe_endpoint(EndpointName="other")
        assert refused.value.response["Error"]["Code"] == "ValidationException"
        with pytest.raises(ClientError, match=r"answers SageMaker\.DescribeEndpoint alone"):
            client.list_endpoints()
