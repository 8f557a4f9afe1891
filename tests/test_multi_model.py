"""A multi-model endpoint, on a real gunicorn over real sockets, with models of phantoms."""

import json
import re
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.jobs import ROOT
from tests.ports import free_port
from tests.server import UNREADABLE, Reply, Server, unread_reply

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def scan(prepared: Path) -> bytes:
    """Give a test image's bytes."""
    with zipfile.ZipFile(prepared / "Test.zip") as archive:
        return archive.read(min(archive.namelist()))


@pytest.fixture(scope="module")
def endpoint(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a running multi-model endpoint, with the folders of three models and of none."""
    base = tmp_path_factory.mktemp("endpoint")
    for name in "abc":
        shutil.copytree(trained / "model", base / "models" / name / "model")
        for path in (base / "models" / name).rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)
    (base / "models" / "empty" / "model").mkdir(parents=True)
    shutil.copytree(trained / "model", base / "outside")
    with Server.start(base, free_port(), base / "log", SAGEMAKER_MULTI_MODEL="true") as server:
        server.wait_until_ready()
        yield server


def _url(server: Server, name: str) -> str:
    return str(server.log.parent / "models" / name / "model")


def _load(server: Server, name: str, url: str) -> Reply:
    return server.request("POST", "/models", json.dumps({"model_name": name, "url": url}))


def _invoke(server: Server, name: str, scan: bytes) -> Reply:
    return server.request("POST", f"/models/{name}/invoke", scan, JPEG)


def _error(reply: Reply, status: int) -> str:
    assert reply.status == status, reply.body
    assert len(reply.body) < 2048
    error: dict[str, str] = json.loads(reply.body)["error"]
    return f"{error['code']}: {error['message']}"


def _worker(server: Server) -> int:
    parent = server.process.pid
    return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])


def _resident_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000


@pytest.fixture(autouse=True)
def _empty(endpoint: Server) -> Iterator[None]:
    """Unload what a test left loaded."""
    yield
    for model in json.loads(endpoint.request("GET", "/models").body)["models"]:
        endpoint.request("DELETE", f"/models/{quote(model['modelName'], safe='')}")


def test_the_endpoint_is_healthy_and_lists_nothing_before_a_model_is_loaded(
    endpoint: Server,
) -> None:
    assert endpoint.request("GET", "/ping").status == 200
    assert json.loads(endpoint.request("GET", "/models").body) == {"models": []}


def test_a_model_is_loaded_described_invoked_and_unloaded(
    endpoint: Server, scan: bytes, server: Server
) -> None:
    url = _url(endpoint, "a")
    listed = {"modelName": "f00d", "modelUrl": url}
    assert _load(endpoint, "f00d", url).status == 200
    assert json.loads(endpoint.request("GET", "/models").body) == {"models": [listed]}
    assert json.loads(endpoint.request("GET", "/models/f00d").body) == listed
    reply = _invoke(endpoint, "f00d", scan)
    # As the one model of an endpoint answers.
    alone = server.request("POST", "/invocations", scan, JPEG)
    assert (reply.status, reply.body) == (alone.status, alone.body) == (200, alone.body)
    assert "not_acceptable" in _error(
        endpoint.request("POST", "/models/f00d/invoke", scan, {**JPEG, "Accept": "text/html"}), 406
    )
    assert endpoint.request("DELETE", "/models/f00d").status == 200
    for method, path in (
        ("GET", "/models/f00d"),
        ("DELETE", "/models/f00d"),
        ("POST", "/models/f00d/invoke"),
    ):
        reply = endpoint.request(method, path, scan if method == "POST" else None)
        assert "model_not_loaded" in _error(reply, 404)


def test_a_name_may_hold_what_urls_must_quote(endpoint: Server, scan: bytes) -> None:
    name = "größe 1?%41&.tar.gz"
    assert _load(endpoint, name, _url(endpoint, "a")).status == 200
    reply = endpoint.request("GET", f"/models/{quote(name)}")
    assert json.loads(reply.body)["modelName"] == name
    assert _invoke(endpoint, quote(name), scan).status == 200


def test_loading_twice_is_a_409_and_the_model_goes_on(endpoint: Server, scan: bytes) -> None:
    assert _load(endpoint, "a", _url(endpoint, "a")).status == 200
    assert "model_already_loaded" in _error(_load(endpoint, "a", _url(endpoint, "b")), 409)
    assert _invoke(endpoint, "a", scan).status == 200


def test_of_many_loads_of_one_name_at_once_one_wins(endpoint: Server, scan: bytes) -> None:
    with ThreadPoolExecutor(6) as pool:
        urls = [_url(endpoint, "a")] * 6
        statuses = [reply.status for reply in pool.map(_load, [endpoint] * 6, ["a"] * 6, urls)]
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]
    assert _invoke(endpoint, "a", scan).status == 200


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "unreadable_body"),
        (b"{", "unreadable_body"),
        (b"[]", "unreadable_body"),
        (b'{"model_name": "a"}', "unreadable_body"),
        (b'{"model_name": 1, "url": "a/model"}', "unreadable_body"),
        (b'{"model_name": "../a", "url": "a/model"}', "unusable_model"),
        (b'{"model_name": "a", "url": "../outside"}', "does not lie below"),
        (b'{"model_name": "a", "url": "/etc"}', "does not lie below"),
        (b'{"model_name": "a", "url": "empty/model"}', "model.json does not exist"),
        (b'{"model_name": "a", "url": "none/model"}', "model.json does not exist"),
    ],
)
def test_what_cannot_be_loaded_is_a_400_with_its_cause_and_takes_no_name(
    endpoint: Server, body: bytes, cause: str
) -> None:
    assert cause in _error(endpoint.request("POST", "/models", body), 400)
    assert _load(endpoint, "a", _url(endpoint, "a")).status == 200


def test_other_models_answer_while_one_is_loaded(endpoint: Server, scan: bytes) -> None:
    assert _load(endpoint, "a", _url(endpoint, "a")).status == 200
    loaded = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(_load, endpoint, "b", _url(endpoint, "b"))
        loading.add_done_callback(lambda _: loaded.set())
        answered = 0
        while not loaded.is_set():
            assert _invoke(endpoint, "a", scan).status == 200
            answered += 1
    assert loading.result().status == 200
    assert answered > 1


def test_every_request_is_answered_by_the_model_or_refused_while_it_is_unloaded(
    endpoint: Server, scan: bytes
) -> None:
    assert _load(endpoint, "a", _url(endpoint, "a")).status == 200
    wanted = _invoke(endpoint, "a", scan).body
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(_invoke, endpoint, "a", scan) for _ in range(200)]
        asked[5].result()
        assert endpoint.request("DELETE", "/models/a").status == 200
        replies = [answer.result() for answer in asked]
    assert {reply.status for reply in replies} <= {200, 404}
    assert replies[0].status == 200
    assert all(json.loads(r.body).keys() == json.loads(wanted).keys() for r in replies[:5])


def test_the_commands_of_the_documentation_work(
    endpoint: Server, scan: bytes, tmp_path: Path
) -> None:
    page = (ROOT / "docs/multi_model.md").read_text()
    (code,) = re.findall(r"^```bash\n(.*?)^```$", page, re.M | re.S)
    code = code.replace("127.0.0.1:8080", f"127.0.0.1:{endpoint.port}")
    code = code.replace("/opt/ml/models/north/model", _url(endpoint, "a"))
    (tmp_path / "scan.jpg").write_bytes(scan)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"predictions"' in done.stdout
    assert done.stdout.count('"modelName":"north"') == 2
    assert endpoint.request("GET", "/models/north").status == 404


def test_invocations_says_that_this_endpoint_has_many_models(endpoint: Server, scan: bytes) -> None:
    reply = endpoint.request("POST", "/invocations", scan, JPEG)
    assert "/models/NAME/invoke" in _error(reply, 404)


def test_an_endpoint_of_one_model_has_no_such_routes(server: Server, scan: bytes) -> None:
    assert server.request("GET", "/models").status == 404
    assert _load(server, "a", "a/model").status == 404
    assert _invoke(server, "a", scan).status == 404


def test_the_models_files_are_left_as_they_are(endpoint: Server) -> None:
    folder = endpoint.log.parent / "models" / "c"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert _load(endpoint, "c", _url(endpoint, "c")).status == 200
    assert endpoint.request("DELETE", "/models/c").status == 200
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_models_that_come_and_go_leave_neither_memory_nor_threads_nor_files_behind(
    endpoint: Server, scan: bytes
) -> None:
    process = _worker(endpoint)

    def round_trip(number: int) -> tuple[float, int, int]:
        name = "abc"[number % 3]
        assert _load(endpoint, name, _url(endpoint, name)).status == 200
        assert _invoke(endpoint, name, scan).status == 200
        loaded = len(list(Path(f"/proc/{process}/task").iterdir()))
        assert endpoint.request("DELETE", f"/models/{name}").status == 200
        threads = len(list(Path(f"/proc/{process}/task").iterdir()))
        # The model's batcher, at least.
        assert threads < loaded
        return _resident_mb(process), threads, len(list(Path(f"/proc/{process}/fd").iterdir()))

    rounds = [round_trip(number) for number in range(9)]
    memory, threads, files = zip(*rounds[2:], strict=True)
    # A model of the default network takes 140 MB, this small one still tens.
    assert max(memory) - memory[0] < 40
    # gunicorn starts threads as they are needed.
    assert max(threads) - threads[0] <= 3
    assert max(files) - files[0] <= 3


def test_a_model_that_does_not_fit_is_a_507_and_fits_once_another_one_is_gone(
    endpoint: Server, scan: bytes, tmp_path: Path
) -> None:
    base = endpoint.log.parent
    settings = {"SAGEMAKER_MULTI_MODEL": "true", "BRAIN_TUMOR_MEMORY_MB": "550"}
    with Server.start(base, free_port(), tmp_path / "log", **settings) as small:
        small.wait_until_ready()
        names = [f"m{number}" for number in range(30)]
        loaded = []
        for name in names:
            reply = _load(small, name, str(base / "models" / "a" / "model"))
            if reply.status != 200:
                break
            loaded.append(name)
        assert "insufficient_memory" in _error(reply, 507)
        assert loaded
        assert _resident_mb(_worker(small)) < 550
        for name in loaded:
            assert _invoke(small, name, scan).status == 200
            assert small.request("DELETE", f"/models/{name}").status == 200
        assert _load(small, name, str(base / "models" / "a" / "model")).status == 200


def test_a_client_that_stops_reading_does_not_keep_its_model_from_being_unloaded(
    endpoint: Server, tmp_path: Path
) -> None:
    base = endpoint.log.parent
    settings = {"SAGEMAKER_MULTI_MODEL": "true", "BRAIN_TUMOR_STALL_SECONDS": "1"}
    settings["BRAIN_TUMOR_MAX_IMAGES"] = str(UNREADABLE)
    with Server.start(base, free_port(), tmp_path / "log", **settings) as server:
        server.wait_until_ready()
        assert _load(server, "a", str(base / "models" / "a" / "model")).status == 200
        with closing(unread_reply(server, "/models/a/invoke")):
            assert server.request("DELETE", "/models/a").status == 200
            assert "Hung up on a client" in server.log.read_text()
