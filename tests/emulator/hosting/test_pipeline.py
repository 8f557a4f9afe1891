"""Inference pipelines: two stubs in a row."""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting import pipeline
from local_test.emulator.hosting.definition import Definition
from local_test.emulator.hosting.endpoint import Endpoint, Limits
from local_test.emulator.hosting.launch import Lifecycle, commands
from local_test.emulator.hosting.pipeline import Pipeline
from tests.emulator.hosting.conftest import QUICK, STUB, fronted


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Give boto3's client for a pipeline of two stubs, which may take 1.5 s together."""
    with contextlib.ExitStack() as stack:
        launcher = stack.enter_context(commands(STUB, Lifecycle(QUICK, grace=10)))
        definitions = [
            pipeline.staged(Definition(port=launcher.port(pipeline.stage_port(rank))), rank)
            for rank in range(2)
        ]
        servers = [stack.enter_context(launcher.make(d)) for d in definitions]
        endpoint = Endpoint("stub", Pipeline(servers), Limits(invocation=1.5))
        assert endpoint.ping().healthy
        yield stack.enter_context(fronted(endpoint))


def _invoke(client: Any, wanted: dict[str, Any]) -> Any:
    return client.invoke_endpoint(
        EndpointName="stub", Body=json.dumps(wanted), CustomAttributes="c=1"
    )


def test_what_the_first_answers_is_what_the_second_is_asked_with_its_content_type(
    client: Any,
) -> None:
    features = {"status": 200, "message": "1,2,3", "headers": {"Content-Type": "text/csv"}}
    seen = json.loads(_invoke(client, features)["Body"].read())
    assert base64.b64decode(seen["body"]) == b"1,2,3"
    assert seen["headers"]["content-type"] == "text/csv"
    assert seen["headers"]["x-amzn-sagemaker-custom-attributes"] == "c=1"
    assert seen["environment"]["SAGEMAKER_SAFE_PORT_RANGE"] == "22000-22999"


@pytest.mark.parametrize("nested", [False, True])
def test_an_error_of_either_is_the_answer_and_names_the_container(
    client: Any, nested: bool
) -> None:
    wanted: dict[str, Any] = {"status": 500, "message": "broken"}
    if nested:
        wanted = {"status": 200, "message": json.dumps(wanted)}
    with pytest.raises(ClientError) as refused:
        _invoke(client, wanted)
    assert refused.value.response["OriginalMessage"] == "broken"
    container = "container-2" if nested else "container-1"
    assert f"(500) from {container} with message" in str(refused.value)


def test_all_have_the_time_of_one_call_together(client: Any) -> None:
    second = {"sleep": 1, "status": 200}
    with pytest.raises(ClientError, match="Your invocation timed out"):
        _invoke(client, {"sleep": 1, "status": 200, "message": json.dumps(second)})


@pytest.mark.parametrize("count", [1, 16])
def test_a_pipeline_has_2_to_15_containers(count: int) -> None:
    with pytest.raises(EmulatorError, match=f"{count} containers in a pipeline"):
        pipeline.check_length(count)
