"""`predict` asks our own server, by its URL and as an endpoint."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploy import invocations
from tests import endpoints
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed, use
from tests.jobs import ROOT
from tests.ports import free_port
from tests.server import Server

SCAN = ROOT / "local_test" / "payload.png"


@pytest.fixture
def url(server: Server) -> str:
    """Give the URL of a real `serve`."""
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def runtime(account: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let requests to endpoints reach a real `serve`, as SageMaker passes them on."""
    with endpoints.running(server, "brain-tumor-endpoint") as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", address)
        yield


def _answer(url: str) -> dict[str, object]:
    question = invocations.Question(SCAN, "image/png", "application/json")
    entry: dict[str, object] = json.loads(invocations.ask_url(url, question).body)["predictions"][0]
    return entry


def test_each_file_is_a_line_of_a_table(url: str, tmp_path: Path) -> None:
    with Image.open(SCAN) as scan:
        scan.save(tmp_path / "scan.bmp")
    printed = succeed("predict", SCAN, tmp_path / "scan.bmp", "--url", url).splitlines()
    assert [line.split()[0] for line in printed] == ["file", "payload.png", "scan.bmp"]
    answer = _answer(url)
    for line in printed[1:]:
        assert line.split()[1:] == [
            answer["label"],
            f"{answer['probability']:.4f}",
            answer["decision"],
        ]


def test_an_endpoint_answers_as_the_container_does(runtime: None, url: str) -> None:
    assert succeed("predict", SCAN) == succeed("predict", SCAN, "--url", url)


def test_a_heat_map_is_written_to_a_file(url: str, tmp_path: Path) -> None:
    succeed("predict", SCAN, "--url", url, "--accept", "image/png", "--out", tmp_path / "maps")
    path = tmp_path / "maps" / "payload.png.heat_map.png"
    with Image.open(path) as heat_map, Image.open(SCAN) as scan:
        assert heat_map.size == scan.size


def test_other_forms_are_asked_for_by_accept_and_shown(url: str, tmp_path: Path) -> None:
    row = succeed("predict", SCAN, "--url", url, "--accept", "text/csv", "--raw")
    probabilities = [float(cell) for cell in row.split(",")]
    assert sum(probabilities) == pytest.approx(1, abs=1e-3)
    told = succeed("predict", SCAN, "--url", url, "--accept", "text/csv")
    assert told == f"{SCAN}: {row}"
    succeed("predict", SCAN, "--url", url, "--accept", "application/x-npy", "--out", tmp_path)
    array = np.load(tmp_path / "payload.png.npy")
    assert array[0] == pytest.approx(probabilities, abs=1e-5)


def test_a_batch_has_a_line_an_image(url: str, tmp_path: Path) -> None:
    np.save(tmp_path / "scans.npy", np.zeros((2, 32, 32), np.uint8))
    for accept in ("application/json", "application/jsonlines"):
        printed = succeed("predict", tmp_path / "scans.npy", "--url", url, "--accept", accept)
        assert "scans.npy[0]" in printed
        assert "scans.npy[1]" in printed


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_answered(
    runtime: None, url: str, tmp_path: Path
) -> None:
    (tmp_path / "torn.png").write_bytes(SCAN.read_bytes()[:100])
    for where in ([], ["--url", url]):
        result = deploy("predict", tmp_path / "torn.png", SCAN, *where)
        assert result.exit_code == 1
        assert "torn.png was refused (400): " in result.output
        assert "payload.png  " in result.output
        assert "1 of 2 files were refused" in result.output


def test_where_nothing_answers_it_says_how_to_start_a_container() -> None:
    result = deploy("predict", SCAN, "--url", f"http://127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "local_test/serve_local.sh" in result.output


def test_an_asynchronous_endpoint_is_asked_by_way_of_the_bucket(account: str) -> None:
    succeed("setup", "--yes")
    # moto answers in place of a model.
    assert '{"default": "response"}' in succeed("predict", SCAN, "--async", "--raw")
    keys = loopback.client("s3").list_objects_v2(Bucket=loopback.BUCKET, Prefix="async/input/")
    (sent,) = keys["Contents"]
    assert sent["Size"] == SCAN.stat().st_size
    # A patient's name in S3 would be one in access logs.
    assert SCAN.stem not in sent["Key"]


def test_a_queue_that_gives_no_answer_in_time_says_where_it_will_be(account: str) -> None:
    succeed("setup", "--yes")
    result = deploy("predict", SCAN, "--async", "--seconds", 0)
    assert result.exit_code == 1
    assert "it will be written to s3://" in result.output


def test_a_dry_run_asks_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with loopback.refusing_server() as (refusing, asked):
        use(monkeypatch, loopback.environment(refusing, tmp_path))
        printed = succeed("predict", SCAN, "--dry-run", "--target-model", "north.tar.gz")
        succeed("predict", SCAN, "--dry-run", "--async")
        succeed("predict", SCAN, "--dry-run", "--url", refusing)
    assert asked == []
    (request,) = loopback.parameters(printed, "sagemaker-runtime:InvokeEndpoint")
    assert request["EndpointName"] == "brain-tumor-endpoint"
    assert request["ContentType"] == "image/png"
    assert request["TargetModel"] == "north.tar.gz"


def test_url_and_endpoint_exclude_each_other(url: str) -> None:
    assert deploy("predict", SCAN, "--url", url, "--endpoint", "brain-tumor-a").exit_code == 2
