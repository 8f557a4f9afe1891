"""The serving contract, on a real gunicorn over real sockets."""

import base64
import http.client
import io
import json
import signal
import socket
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from tests.ports import free_port
from tests.server import PLATFORM_PING_SECONDS, UNREADABLE, Server, unread_reply, wait_until_refused

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="session")
def scans(prepared: Path) -> list[bytes]:
    """Give the test images' bytes."""
    with zipfile.ZipFile(prepared / "Test.zip") as archive:
        return [archive.read(name) for name in sorted(archive.namelist())]


def test_ping_is_503_while_loading_and_200_with_an_empty_body_once_ready(
    trained: Path, tmp_path: Path
) -> None:
    with Server.start(trained, free_port(), tmp_path / "log") as server:
        seen = server.wait_until_ready()
        assert 503 in seen
        assert set(seen) <= {0, 503, 200}
        for method in ("GET", "HEAD", "POST"):
            reply = server.request(method, "/ping")
            assert (reply.status, reply.body) == (200, b"")


def test_a_jpeg_gets_label_probabilities_and_decision(
    server: Server, scans: list[bytes], trained: Path
) -> None:
    reply = server.request("POST", "/invocations", scans[0], JPEG)
    assert reply.status == 200
    (entry,) = json.loads(reply.body)["predictions"]
    assert list(entry["probabilities"]) == ["glioma", "meningioma", "notumor", "pituitary"]
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert entry["probability"] == entry["probabilities"][entry["label"]]
    threshold = json.loads((trained / "model/model.json").read_text())["thresholds"]["confident"]
    sure = entry["probability"] >= threshold
    assert entry["decision"] == ("confident" if sure else "uncertain")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "hint"),
    [
        ("truncated", "image/jpeg", 400, "truncated"),
        (b"", "image/jpeg", 400, "empty"),
        (b"<!doctype html><html></html>", "image/jpeg", 400, "no image"),
        (b'{"data": []}', "application/json", 400, "instances"),
        (b"a,b", "text/csv", 415, "image/jpeg"),
    ],
)
def test_a_bad_body_gets_a_4xx_with_a_hint_and_the_server_goes_on(
    server: Server,
    scans: list[bytes],
    body: bytes | str,
    content_type: str,
    status: int,
    hint: str,
) -> None:
    sent = scans[0][:600] if isinstance(body, str) else body
    reply = server.request("POST", "/invocations", sent, {"Content-Type": content_type})
    assert reply.status == status
    assert hint in json.loads(reply.body)["error"]["message"]
    assert len(reply.body) < 2048
    assert server.request("POST", "/invocations", scans[0], JPEG).status == 200


def test_json_lines_and_csv_hold_the_figures_of_the_json(
    server: Server, scans: list[bytes]
) -> None:
    instances = [{"b64": base64.b64encode(scan).decode()} for scan in scans[:3]]
    body = json.dumps({"instances": instances})
    headers = {"Content-Type": "application/json"}
    entries = json.loads(server.request("POST", "/invocations", body, headers).body)["predictions"]
    assert len(entries) == 3
    lines = server.request(
        "POST", "/invocations", body, {**headers, "Accept": "application/jsonlines"}
    )
    assert lines.body.endswith(b"\n")
    labels = [json.loads(line)["label"] for line in lines.body.splitlines()]
    assert labels == [entry["label"] for entry in entries]
    rows = server.request("POST", "/invocations", body, {**headers, "Accept": "text/csv"})
    table = np.loadtxt(io.BytesIO(rows.body), delimiter=",")
    expected = [list(entry["probabilities"].values()) for entry in entries]
    np.testing.assert_allclose(table, expected, atol=2e-6)


def _check_overlay(server: Server, scan: bytes) -> None:
    """Compare the picture that a server draws with the scan and with its answer in JSON."""
    reply = server.request("POST", "/invocations", scan, {**JPEG, "Accept": "image/png"})
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    (entry,) = json.loads(server.request("POST", "/invocations", scan, JPEG).body)["predictions"]
    with Image.open(io.BytesIO(reply.body)) as picture, Image.open(io.BytesIO(scan)) as grey:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", grey.size)
        text = {key: str(value) for key, value in cast("PngImageFile", picture).text.items()}
    assert (text["label"], text["decision"]) == (entry["label"], entry["decision"])
    assert text["probability"] == f"{entry['probability']:.6f}"
    assert text["Disclaimer"].startswith("Not a diagnosis")


def test_a_png_is_the_scan_with_its_heat_map_and_the_answer_within(
    server: Server, scans: list[bytes]
) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(_check_overlay, server), scans))
    assert "Engine openvino" in server.log.read_text()
    bad = server.request("POST", "/invocations", b"bad", {**JPEG, "Accept": "image/png"})
    assert (bad.status, json.loads(bad.body)["error"]["code"]) == (400, "unreadable_image")


def test_tensorflow_draws_heat_maps_too(trained: Path, scans: list[bytes], tmp_path: Path) -> None:
    with Server.start(
        trained, free_port(), tmp_path / "log", BRAIN_TUMOR_ENGINE="tensorflow"
    ) as server:
        server.wait_until_ready()
        _check_overlay(server, scans[0])


def test_a_png_and_its_npy_and_json_numbers_get_the_same_answer(server: Server) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50), np.uint8)
    png, npy = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    np.save(npy, pixels)
    bodies = {
        "image/png": png.getvalue(),
        "application/x-npy": npy.getvalue(),
        "application/json": json.dumps({"instances": [pixels.tolist()]}),
    }
    replies = {
        server.request("POST", "/invocations", body, {"Content-Type": kind}).body
        for kind, body in bodies.items()
    }
    assert len(replies) == 1


def test_a_chunked_body_without_content_length_is_read(server: Server, scans: list[bytes]) -> None:
    def chunks() -> Iterator[bytes]:
        yield scans[0][:1000]
        yield scans[0][1000:]

    chunked = server.request("POST", "/invocations", chunks(), JPEG)
    whole = server.request("POST", "/invocations", scans[0], JPEG)
    assert (chunked.status, chunked.body) == (200, whole.body)


def test_a_body_above_the_limit_is_413_with_and_without_content_length(
    trained: Path, tmp_path: Path
) -> None:
    with Server.start(
        trained, free_port(), tmp_path / "log", BRAIN_TUMOR_MAX_BODY_MB="0.1"
    ) as server:
        server.wait_until_ready()
        for body in (bytes(100_001), iter([bytes(60_000), bytes(60_000)])):
            reply = server.request("POST", "/invocations", body, JPEG)
            assert reply.status == 413
            assert b"BRAIN_TUMOR_MAX_BODY_MB" in reply.body


def test_concurrent_requests_each_get_their_own_answer(server: Server, scans: list[bytes]) -> None:
    def ask(scan: bytes) -> dict[str, float]:
        reply = server.request("POST", "/invocations", scan, JPEG)
        probabilities: dict[str, float] = json.loads(reply.body)["predictions"][0]["probabilities"]
        return probabilities

    alone = [ask(scan) for scan in scans]
    assert len({tuple(answer.values()) for answer in alone}) == len(scans)
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, scans * 10))
    for answer, expected in zip(together, alone * 10, strict=True):
        assert answer == pytest.approx(expected, abs=1e-5)


def test_headers_that_the_platform_may_add_change_nothing(
    server: Server, scans: list[bytes]
) -> None:
    added = {
        "X-Amzn-SageMaker-Custom-Attributes": "c" * 1024,
        "X-Amzn-SageMaker-Target-Model": "other.tar.gz",
        "X-Amzn-SageMaker-Target-Variant": "blue",
        "X-Amzn-SageMaker-Target-Container-Hostname": "second",
        "X-Amzn-SageMaker-Enable-Explanations": "`true`",
        "X-Amzn-SageMaker-Inference-Component": "component",
        "X-Amzn-SageMaker-Prefix-Aware-Id": "prefix",
        "X-Not-Known-Yet": "x",
        # As they were seen in the logs of an endpoint.
        "Host": "model.aws.local:8080",
        "User-Agent": "AHC/2.0",
    }
    plain = server.request("POST", "/invocations", scans[0], JPEG)
    reply = server.request("POST", "/invocations", scans[0], JPEG | added)
    assert (reply.status, reply.body) == (200, plain.body)
    assert server.request("GET", "/ping", headers=added).status == 200


def test_a_connection_is_kept_for_further_requests_also_after_a_bad_one(
    server: Server, scans: list[bytes]
) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.connect()
        kept = connection.sock
        for body, status in ((scans[0], 200), (b"bad", 400), (scans[0], 200)):
            connection.request("POST", "/invocations", body, JPEG)
            response = connection.getresponse()
            response.read()
            assert (response.status, response.version) == (status, 11)
            # http.client lets go of a connection that the server closes.
            assert connection.sock is kept


def test_sagemaker_bind_to_port_wins_over_port(trained: Path, tmp_path: Path) -> None:
    port = free_port()
    with Server.start(
        trained, free_port(), tmp_path / "log", SAGEMAKER_BIND_TO_PORT=str(port)
    ) as server:
        server.port = port
        server.wait_until_ready()


def test_sigterm_finishes_the_request_in_flight_and_exits_0(
    trained: Path, scans: list[bytes], tmp_path: Path
) -> None:
    with Server.start(trained, free_port(), tmp_path / "log") as server:
        server.wait_until_ready()
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            head = (
                "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                f"Content-Length: {len(scans[0])}\r\n\r\n"
            )
            connection.sendall(head.encode() + scans[0][:1000])
            # Another request is answered only after gunicorn has taken the first one in.
            assert server.request("GET", "/").status == 200
            server.process.send_signal(signal.SIGTERM)
            wait_until_refused(server.port)
            connection.sendall(scans[0][1000:])
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert server.process.wait(timeout=10) == 0


def test_serve_without_a_model_ends_at_once_and_names_the_folder(tmp_path: Path) -> None:
    with Server.start(tmp_path, free_port(), tmp_path / "log") as server:
        assert server.process.wait(timeout=60) == 1
        assert f"{tmp_path}/model/model.json does not exist" in server.log.read_text()


def test_a_broken_saved_model_ends_the_server_with_its_cause_and_is_never_healthy(
    trained: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "model" / "1"
    broken.mkdir(parents=True)
    (broken / "saved_model.pb").write_bytes(b"no graph")
    info = (trained / "model" / "model.json").read_bytes()
    (tmp_path / "model" / "model.json").write_bytes(info)
    with Server.start(tmp_path, free_port(), tmp_path / "log") as server:
        with pytest.raises(AssertionError, match="never ready"):
            server.wait_until_ready()
        assert server.process.wait(timeout=60) != 0
        assert "cannot be read" in server.log.read_text()


def test_pings_are_not_logged_but_invocations_are(server: Server, scans: list[bytes]) -> None:
    server.request("GET", "/ping")
    server.request("POST", "/invocations", scans[0], JPEG)
    log = server.log.read_text()
    assert "POST /invocations 200" in log
    assert "/ping" not in log


def test_a_chunked_body_that_is_broken_is_a_400_not_our_fault(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        head = (
            "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 400"


def _stalled(server: Server, sent: bytes) -> socket.socket:
    """Open a connection whose client sends no more than this, and reads nothing by itself."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(sent)
    return connection


HALF_A_HEAD = b"POST /invocations HTTP/1.1\r\nHost:"
HALF_A_BODY = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc"


def test_requests_that_stall_keep_neither_ping_nor_sigterm_waiting(
    trained: Path, tmp_path: Path
) -> None:
    with (
        Server.start(trained, free_port(), tmp_path / "log", BRAIN_TUMOR_THREADS="3") as server,
        ExitStack() as stalled,
    ):
        server.wait_until_ready()
        # Two are taken in, the others refused with bodies that gunicorn waits for.
        for sent in [HALF_A_BODY] * 6 + [HALF_A_HEAD] * 4:
            stalled.enter_context(_stalled(server, sent))
        for _ in range(4):
            done = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            # Answered, and not hung up on by its client.
            assert stalled.enter_context(_stalled(server, done)).recv(12) == b"HTTP/1.1 200"
        for _ in range(5):
            asked = time.monotonic()
            assert server.request("GET", "/ping").status == 200
            assert time.monotonic() - asked < PLATFORM_PING_SECONDS
        server.process.send_signal(signal.SIGTERM)
        # `docker stop` sends SIGKILL after 10 s.
        assert server.process.wait(timeout=10) == 0


def test_clients_that_stall_are_hung_up_on_and_their_places_are_free_again(
    trained: Path, scans: list[bytes], tmp_path: Path
) -> None:
    settings = {"BRAIN_TUMOR_THREADS": "3", "BRAIN_TUMOR_STALL_SECONDS": "1"}
    with (
        Server.start(trained, free_port(), tmp_path / "log", **settings) as server,
        ExitStack() as stalled,
    ):
        server.wait_until_ready()
        half_a_head = stalled.enter_context(_stalled(server, HALF_A_HEAD))
        taken_in = [stalled.enter_context(_stalled(server, HALF_A_BODY)) for _ in range(2)]
        for connection in taken_in:
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            assert reply.status == 400
            assert b"BRAIN_TUMOR_STALL_SECONDS" in reply.read()
        assert half_a_head.recv(1) == b""
        assert server.request("POST", "/invocations", scans[0], JPEG).status == 200
        log = server.log.read_text()
        assert "Hung up on a client that neither sent nor took for 1 s" in log
        assert "Traceback" not in log


def test_a_reply_that_is_not_read_keeps_its_place_no_longer_than_a_client_may_stall(
    trained: Path, scans: list[bytes], tmp_path: Path
) -> None:
    settings = {"BRAIN_TUMOR_THREADS": "2", "BRAIN_TUMOR_STALL_SECONDS": "1"}
    settings["BRAIN_TUMOR_MAX_IMAGES"] = str(UNREADABLE)
    with Server.start(trained, free_port(), tmp_path / "log", **settings) as server:
        server.wait_until_ready()
        with closing(unread_reply(server, "/invocations")):
            assert server.request("POST", "/invocations", scans[0], JPEG).status == 503
            server.wait_until_logged("Hung up on a client")
            assert server.request("POST", "/invocations", scans[0], JPEG).status == 200


def test_every_line_of_a_json_log_is_an_object_and_a_request_is_found_by_its_inference_id(
    trained: Path, scans: list[bytes], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with Server.start(trained, free_port(), log, BRAIN_TUMOR_LOG_FORMAT="json") as server:
        server.wait_until_ready()
        given = {**JPEG, "X-Amzn-SageMaker-Inference-Id": "case-17"}
        assert server.request("POST", "/invocations", scans[0], given).status == 200
        reply = server.request("POST", "/invocations", scans[0][:99], JPEG)
        with closing(_stalled(server, b"no HTTP\r\n\r\n")) as connection:
            assert connection.recv(12) == b"HTTP/1.1 400"
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"gunicorn.error", "brain_tumor.serving.app.telemetry"} <= {
        event["logger"] for event in events
    }
    answered = {event.get("request_id"): event for event in events if "status" in event}
    assert answered["case-17"]["status"] == 200
    assert answered["case-17"]["path"] == "/invocations"
    assert answered[reply.headers["X-Request-Id"]]["status"] == 400
    assert not any(event.get("path") == "/ping" for event in events)
    (invalid,) = (event for event in events if event["message"].startswith("Invalid request"))
    assert "request_id" not in invalid
