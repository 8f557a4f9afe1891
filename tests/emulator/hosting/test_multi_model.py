"""Multi-model endpoints with boto3: loading, unloading and the container's rules."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.definition import readable_folder
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.multi_model import ENVIRONMENT, MultiModel
from tests.emulator.hosting.conftest import fronted, model_archive, stub_server
from tests.jobs import ROOT

_STUB = f"env PYTHONPATH={ROOT} {sys.executable} -m tests.emulator.hosting.models_stub"


@contextlib.contextmanager
def _multi_model(
    archives: Path, most: int | None = None, folder: Path | None = None, **environment: str
) -> Iterator[MultiModel]:
    for name in ("a", "b", "c", "deep/d"):
        model_archive(archives, {"weights": name.encode()}, f"{name}.tar.gz")
    model_archive(archives, {"broken": b""}, "broken.tar.gz")
    with (
        readable_folder() as own,
        stub_server(
            _STUB, platform=ENVIRONMENT, folders={"models": folder or own}, environment=environment
        ) as server,
    ):
        yield MultiModel("stub", server, archives, folder or own, most=most)


def _ask(client: Any, target: str, body: bytes = b"x") -> dict[str, Any]:
    answered = client.invoke_endpoint(EndpointName="stub", TargetModel=target, Body=body)
    told: dict[str, Any] = json.loads(answered["Body"].read())
    return told


def test_a_model_is_loaded_at_its_first_call_and_all_answer_with_their_own_weights(
    tmp_path: Path,
) -> None:
    with _multi_model(tmp_path) as models, fronted(Endpoint("stub", models)) as client:
        assert models.loaded() == []
        told = _ask(client, "a.tar.gz", b"scan")
        assert told == {
            "weights": "a",
            "target": "a.tar.gz",
            "body": "scan",
            "loaded": 1,
            "multi_model": "true",
        }
        assert _ask(client, "deep/d.tar.gz")["weights"] == "deep/d"
        assert _ask(client, "a.tar.gz")["loaded"] == 2
        assert models.loaded() == ["deep/d.tar.gz", "a.tar.gz"]


def test_a_full_container_loses_the_model_that_was_longest_not_asked_for(tmp_path: Path) -> None:
    with _multi_model(tmp_path, HOLDS="2") as models, fronted(Endpoint("stub", models)) as client:
        for target in ("a.tar.gz", "b.tar.gz", "a.tar.gz", "c.tar.gz"):
            _ask(client, target)
        assert models.loaded() == ["a.tar.gz", "c.tar.gz"]
        assert _ask(client, "b.tar.gz")["weights"] == "b"


def test_a_limit_of_models_is_kept_without_a_507(tmp_path: Path) -> None:
    with _multi_model(tmp_path, most=1) as models, fronted(Endpoint("stub", models)) as client:
        assert [_ask(client, f"{name}.tar.gz")["loaded"] for name in "abc"] == [1, 1, 1]


def test_a_container_that_holds_no_model_is_a_model_error_of_507(tmp_path: Path) -> None:
    with _multi_model(tmp_path, HOLDS="0") as models, fronted(Endpoint("stub", models)) as client:
        with pytest.raises(ClientError) as refused:
            _ask(client, "a.tar.gz")
        assert refused.value.response["OriginalStatusCode"] == 507


def test_a_model_that_the_container_lost_is_loaded_again(tmp_path: Path) -> None:
    with _multi_model(tmp_path) as models, fronted(Endpoint("stub", models)) as client:
        _ask(client, "a.tar.gz", b"forget")
        assert models.loaded() == ["a.tar.gz"]
        assert _ask(client, "a.tar.gz")["weights"] == "a"
        _ask(client, "a.tar.gz", b"forget")
        models.synchronise()
        assert models.loaded() == []


def test_no_memory_for_an_answer_unloads_others_and_asks_once_more(tmp_path: Path) -> None:
    with _multi_model(tmp_path) as models, fronted(Endpoint("stub", models)) as client:
        _ask(client, "a.tar.gz")
        assert _ask(client, "b.tar.gz", b"full")["loaded"] == 1
        assert models.loaded() == ["b.tar.gz"]


def test_without_another_model_to_unload_the_containers_own_words_of_its_507_are_told(
    tmp_path: Path,
) -> None:
    with _multi_model(tmp_path) as models, fronted(Endpoint("stub", models)) as client:
        with pytest.raises(ClientError) as refused:
            _ask(client, "a.tar.gz", b"huge")
        assert refused.value.response["OriginalStatusCode"] == 507
        assert refused.value.response["OriginalMessage"] == "no memory for the answer"


def test_a_model_that_is_long_to_load_holds_up_no_call_of_another(tmp_path: Path) -> None:
    model_archive(tmp_path, {"weights": b"slow", "slow": b""}, "slow.tar.gz")
    with (
        readable_folder() as folder,
        _multi_model(tmp_path, folder=folder) as models,
        ThreadPoolExecutor() as pool,
    ):
        endpoint = Endpoint("stub", models)
        endpoint.invoke(b"x", {"X-Amzn-SageMaker-Target-Model": "a.tar.gz"})
        slow = pool.submit(endpoint.invoke, b"x", {"X-Amzn-SageMaker-Target-Model": "slow.tar.gz"})
        deadline = time.monotonic() + 20
        while not list(folder.glob("*/model/slow")):
            assert time.monotonic() < deadline
        endpoint.invoke(b"x", {"X-Amzn-SageMaker-Target-Model": "a.tar.gz"})
        assert not slow.done()
        assert slow.result().status == 200
        assert models.loaded() == ["a.tar.gz", "slow.tar.gz"]


def test_an_archive_that_could_not_be_unpacked_is_tried_again_once_it_is_whole(
    tmp_path: Path,
) -> None:
    with _multi_model(tmp_path) as models, fronted(Endpoint("stub", models)) as client:
        whole = (tmp_path / "a.tar.gz").read_bytes()
        (tmp_path / "a.tar.gz").write_bytes(whole[:-30])
        for _ in range(2):
            with pytest.raises(ClientError, match="cannot be unpacked"):
                _ask(client, "a.tar.gz")
        (tmp_path / "a.tar.gz").write_bytes(whole)
        assert _ask(client, "a.tar.gz")["weights"] == "a"


def test_all_pages_of_the_list_are_read(tmp_path: Path) -> None:
    with _multi_model(tmp_path, PAGE="1") as models, fronted(Endpoint("stub", models)) as client:
        for name in "abc":
            _ask(client, f"{name}.tar.gz")
        assert models.loaded() == ["a.tar.gz", "b.tar.gz", "c.tar.gz"]


def test_a_container_that_does_not_list_models_fails_the_endpoint(tmp_path: Path) -> None:
    words = r"GET /models was answered with status 404.*wanted"
    with pytest.raises(EmulatorError, match=words), _multi_model(tmp_path, NO_LIST="1"):
        pass


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("none.tar.gz", "ValidationError", "Failed to download model data"),
        ("../a.tar.gz", "ValidationError", "Failed to download model data"),
        ("broken.tar.gz", "ModelError", "cannot read the weights"),
        (None, "ValidationError", "needs a target model"),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    tmp_path: Path, target: str | None, code: str, message: str
) -> None:
    named = {"TargetModel": target} if target else {}
    with _multi_model(tmp_path) as models, fronted(Endpoint("stub", models)) as client:
        with pytest.raises(ClientError, match=message) as refused:
            client.invoke_endpoint(EndpointName="stub", Body=b"x", **named)
        assert refused.value.response["Error"]["Code"] == code
        assert models.loaded() == []
