"""Bodies of 100 MB, and replies that are sent while predicting goes on, on a real gunicorn."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bodies import b64, npy
from tests.ports import free_port
from tests.scans import png
from tests.server import Reply, Server

JSON_LINES = "application/jsonlines"
LINES = {"Content-Type": JSON_LINES, "Accept": JSON_LINES}
LARGE = 99_000_000
# Beside the 4 MB of a body that stay in memory: one line, its image and a batch of scaled ones.
ROOM_MB = 60


def _lines() -> tuple[Iterator[bytes], str]:
    # Noise of 1024 x 1536 pixels, 1.6 MB encoded.
    line = json.dumps(b64(png(0, 1024))).encode() + b"\n"
    return iter([line] * (LARGE // len(line))), JSON_LINES


def _array() -> tuple[Iterator[bytes], str]:
    whole = npy(np.random.default_rng(0).integers(0, 256, (99, 1000, 1000), np.uint8))
    return iter([whole]), "application/x-npy"


def _form() -> tuple[Iterator[bytes], str]:
    part = b'--limit\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    part += png(0, 1024) + b"\r\n"
    parts = [part] * (LARGE // len(part))
    return iter([*parts, b"--limit--\r\n"]), "multipart/form-data; boundary=limit"


@pytest.fixture(scope="module")
def started(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a server of this module's own, with one place and many images allowed."""
    log = tmp_path_factory.mktemp("large") / "serve.log"
    settings = {"BRAIN_TUMOR_THREADS": "2", "BRAIN_TUMOR_MAX_IMAGES": "1000000"}
    with Server.start(trained, free_port(), log, **settings) as running:
        running.wait_until_ready()
        yield running


def _worker(server: Server) -> Path:
    """Give the folder in /proc of the process that answers."""
    main = server.process.pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
    return Path("/proc") / (children[0] if children else str(main))


def _peak_mb(worker: Path) -> float:
    (line,) = (x for x in (worker / "status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


@pytest.mark.parametrize("body", [_lines, _array, _form])
def test_a_body_of_100_mb_takes_little_memory(started: Server, body: object) -> None:
    assert callable(body)
    worker = _worker(started)
    # Each kind once beforehand, so that what is loaded at first use is not counted.
    started.request("POST", "/invocations", png(0, 1024), {"Content-Type": "image/png"})
    (worker / "clear_refs").write_text("5")  # resets the peak (proc(5))
    before = _peak_mb(worker)
    chunks, content_type = body()
    reply = started.request("POST", "/invocations", chunks, {"Content-Type": content_type})
    assert reply.status == 200
    assert len(json.loads(reply.body)["predictions"]) > 40
    grew = _peak_mb(worker) - before
    print(f"{content_type}: {before:.0f} MB before, {grew:.0f} MB more at the peak")
    assert grew < ROOM_MB


def test_a_body_above_the_limit_is_refused_while_it_is_still_being_sent(started: Server) -> None:
    for head in ("Content-Length: 1000000000000", "Transfer-Encoding: chunked"):
        with socket.create_connection(("127.0.0.1", started.port), timeout=60) as connection:
            connection.sendall(
                f"POST /invocations HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode()
            )
            if "chunked" in head:
                # 101 MB of an endless body: its last chunk never comes.
                chunk = f"{1_000_000:x}\r\n".encode() + bytes(1_000_000) + b"\r\n"
                for _ in range(101):
                    connection.sendall(chunk)
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert response.status == 413
            assert b"BRAIN_TUMOR_MAX_BODY_MB" in response.read()


def test_a_client_that_sends_all_before_it_reads_gets_the_413_and_no_reset(
    started: Server,
) -> None:
    body = bytes(100_000_001)
    for _ in range(10):
        assert started.request("POST", "/invocations", body, {"Content-Type": "x"}).status == 413


def _many(count: int) -> bytes:
    return b"[[0, 255], [100, 50]]\n" * count


def _predicted(server: Server) -> float:
    text = server.request("GET", "/metrics").body.decode()
    return next(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "brain_tumor_batch_images_sum"
    )


def _ask(server: Server) -> Reply:
    return server.request("POST", "/invocations", png(0), {"Content-Type": "image/png"})


def test_lines_are_sent_in_chunks_of_a_batch(started: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", started.port, timeout=60)) as connection:
        connection.request("POST", "/invocations", _many(40), LINES)
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.headers["Content-Type"] == JSON_LINES
        # read1 never gives more than one chunk.
        chunks = iter(lambda: response.read1(1_000_000), b"")
        assert [chunk.count(b"\n") for chunk in chunks] == [16, 16, 8]


def test_few_lines_are_sent_with_their_length(started: Server) -> None:
    reply = started.request("POST", "/invocations", _many(16), LINES)
    assert int(reply.headers["Content-Length"]) == len(reply.body)


def test_a_stream_keeps_its_place_until_its_end_and_gives_it_back_when_the_client_leaves(
    started: Server,
) -> None:
    count = 200_000
    before = _predicted(started)
    # The reply is far larger than what sockets hold back, so the server waits for its reader.
    with closing(http.client.HTTPConnection("127.0.0.1", started.port, timeout=60)) as connection:
        connection.request("POST", "/invocations", _many(count), LINES)
        assert connection.getresponse().read1(100) != b""
        refused = _ask(started)
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (503, "overloaded")
        assert started.request("GET", "/ping").status == 200
    statuses = iter(lambda: _ask(started).status, 200)
    assert set(statuses) <= {503}
    assert _predicted(started) - before < count
    assert "POST /invocations 200" in started.log.read_text().splitlines()[-2]
