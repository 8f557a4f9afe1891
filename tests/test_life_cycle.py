"""The life of a server: load, crash, signals, and what it may not touch; on a real gunicorn."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.jobs import BIN
from tests.ports import free_port
from tests.server import PLATFORM_PING_SECONDS, Server, wait_until_refused

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def scan(prepared: Path) -> bytes:
    """Give a test image's bytes."""
    with zipfile.ZipFile(prepared / "Test.zip") as archive:
        return archive.read(min(archive.namelist()))


def _children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in text.split()]


def test_ping_answers_within_the_platforms_limit_under_full_load(
    server: Server, scan: bytes
) -> None:
    """Thirty-two requests in flight all the time, 200 pings meanwhile."""
    stop, seconds = False, []

    def ask() -> set[int]:
        statuses = set()
        while not stop:
            statuses.add(server.request("POST", "/invocations", scan, JPEG).status)
        return statuses

    with ThreadPoolExecutor(32) as pool:
        asking = [pool.submit(ask) for _ in range(32)]
        try:
            for _ in range(200):
                start = time.perf_counter()
                assert server.request("GET", "/ping").status == 200
                seconds.append(time.perf_counter() - start)
        finally:
            stop = True
    assert set.union(*(answer.result() for answer in asking)) == {200}
    p50, p99 = np.percentile(seconds, [50, 99])
    print(f"/ping under load: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms")
    assert p99 < PLATFORM_PING_SECONDS / 4
    assert max(seconds) < PLATFORM_PING_SECONDS


def test_sigterm_answers_all_requests_that_were_accepted_then_exits_0(
    trained: Path, scan: bytes, tmp_path: Path
) -> None:
    head = (
        "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(scan)}\r\nConnection: close\r\n\r\n"
    )
    with Server.start(trained, free_port(), tmp_path / "log") as server, ExitStack() as stack:
        server.wait_until_ready()
        connections = []
        for _ in range(40):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            stack.enter_context(connection).sendall(head.encode() + scan[:100])
            connections.append(connection)
        # gunicorn accepts in order, so those before this one are in.
        assert server.request("GET", "/").status == 200
        server.process.send_signal(signal.SIGTERM)
        wait_until_refused(server.port)
        for connection in connections:
            connection.sendall(scan[100:])
        for connection in connections:
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert server.process.wait(timeout=10) == 0


def test_a_worker_that_is_killed_comes_back_and_answers_again(
    trained: Path, scan: bytes, tmp_path: Path
) -> None:
    with Server.start(trained, free_port(), tmp_path / "log") as server:
        server.wait_until_ready()
        (worker,) = _children(server.process.pid)
        os.kill(worker, signal.SIGKILL)
        while Path(f"/proc/{worker}").exists():
            pass
        server.wait_until_ready()
        assert _children(server.process.pid) != [worker]
        assert server.request("POST", "/invocations", scan, JPEG).status == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=10) == 0


def _listening_ports(process: int) -> set[int]:
    """Return the TCP ports on which a process listens."""
    sockets = {str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            # 0A: the state LISTEN; field 9 is the socket's inode.
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                found.add(int(fields[1].split(":")[1], 16))
    return found


def test_in_a_pipeline_one_port_listens_and_none_of_the_safe_range(
    trained: Path, tmp_path: Path
) -> None:
    port = free_port()
    pipeline = {"SAGEMAKER_BIND_TO_PORT": str(port), "SAGEMAKER_SAFE_PORT_RANGE": "20000-20999"}
    with Server.start(trained, port, tmp_path / "log", **pipeline) as server:
        server.wait_until_ready()
        for process in [server.process.pid, *_children(server.process.pid)]:
            assert _listening_ports(process) == {port}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user can enter; pytest's own are for one alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _as_nobody() -> list[str]:
    """Give the words before a command that take away the right to write; none without root.

    It keeps the right to read everything: the Python of a developer may lie in a home folder.
    """
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        return []
    right = "+dac_read_search"
    words = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    words += [f"--inh-caps={right}", f"--ambient-caps={right}", "--bounding-set=-all," + right]
    return words if subprocess.run([*words, "true"]).returncode == 0 else []


def test_serve_runs_as_any_user_and_writes_neither_home_nor_cwd_nor_shared_memory(
    trained: Path, scan: bytes, open_folder: Path
) -> None:
    ml, home, cwd = (open_folder / name for name in ("ml", "home", "cwd"))
    shutil.copytree(trained / "model", ml / "model")
    for folder in (home, cwd):
        folder.mkdir()
    for path in (home, cwd, ml, *ml.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    port = free_port()
    settings = {"SAGEMAKER_BASE_DIR": str(ml), "PORT": str(port), "HOME": str(home)}
    command = [*_as_nobody(), str(BIN / "serve")]
    shared = set(Path("/dev/shm").iterdir())  # noqa: S108 - looked at, not written
    with Server.launch(command, port, open_folder / "log", settings, cwd) as server:
        server.wait_until_ready()
        reply = server.request("POST", "/invocations", scan, JPEG)
        assert json.loads(reply.body)["predictions"]
        for process in [server.process.pid, *_children(server.process.pid)]:
            maps = Path(f"/proc/{process}/maps").read_text()
            files = [str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir()]
            assert "/dev/shm" not in maps + str(files)  # noqa: S108 - looked for, not written
            owner = Path(f"/proc/{process}").stat().st_uid
            assert owner == (12345 if _as_nobody() else os.geteuid())
    assert set(Path("/dev/shm").iterdir()) <= shared  # noqa: S108 - looked at, not written
    assert not [*home.iterdir(), *cwd.iterdir()]
