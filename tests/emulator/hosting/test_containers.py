"""Endpoints of real containers: what they may write, how they are found, that nothing stays."""

import contextlib
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker as sdk
import pytest

from local_test.emulator.engine import Engine
from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting import multi_model, pipeline
from local_test.emulator.hosting.definition import Definition, model_folder
from local_test.emulator.hosting.endpoint import Endpoint
from local_test.emulator.hosting.launch import Containers, Lifecycle
from local_test.emulator.hosting.pipeline import Pipeline
from local_test.emulator.hosting.server import Server
from local_test.emulator.hosting.serverless import Serverless, ServerlessConfig
from local_test.emulator.hosting.targets import Single
from tests.docker import needs_docker
from tests.emulator.conftest import BASE, RUN, labelled, left_of, run_label
from tests.emulator.hosting.conftest import QUICK, model_archive, runtime
from tests.jobs import ROOT

pytestmark = needs_docker

_TAG = f"emulator-test:serve-{RUN}"
_TMP = "/tmp/new"  # noqa: S108 - in the container
# Our own image is the one at hand that has Python; nothing else of it is used.
_DOCKERFILE = f"""FROM {{base}}
COPY stub.py /usr/local/bin/stub
ENTRYPOINT ["python3", "/usr/local/bin/stub"]
LABEL {pipeline.LABEL}=true
"""


@pytest.fixture(scope="module")
def stub_image(serve_image: str) -> Iterator[str]:
    """Give an image that serves as the stub does."""
    dockerfile = _DOCKERFILE.format(base=serve_image).encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        tar.add(ROOT / "tests/emulator/hosting/stub.py", "stub.py")
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile)
        tar.addfile(member, io.BytesIO(dockerfile))
    context.seek(0)
    with contextlib.closing(sdk.from_env()) as client:
        client.images.build(
            fileobj=context,
            custom_context=True,
            tag=_TAG,
            labels={"run": RUN},
            rm=True,
            network_mode="none",
        )
        try:
            yield _TAG
        finally:
            client.images.remove(_TAG, force=True)


@pytest.fixture
def launcher(stub_image: str) -> Iterator[Containers]:
    """Give what makes containers of the stub; nothing of them stays."""
    with Engine() as engine:
        # A network that leads nowhere: a container is asked on it all the same.
        yield Containers(engine, stub_image, Lifecycle(QUICK, grace=10), isolated=True)
    assert left_of(engine) == []


def _rights(endpoint: Endpoint, *paths: str) -> Any:
    return json.loads(endpoint.invoke(json.dumps({"write": paths}).encode()).body)


def test_a_model_is_read_only_and_the_container_runs_as_the_image_says(
    launcher: Containers, tmp_path: Path
) -> None:
    archive = model_archive(tmp_path, {"weights": b"w"})
    with (
        model_folder(archive) as folders,
        launcher.make(Definition(folders=folders, memory="1g")) as server,
    ):
        endpoint = Endpoint("stub", Single(server))
        assert json.loads(endpoint.invoke(b"x").body)["files"] == ["weights"]
        told = _rights(endpoint, "/opt/ml/model/new", _TMP, "/new")
        stopped = server.stop()
    assert told == {
        "uid": 0,
        "shm": True,
        "/opt/ml/model/new": "Read-only file system",
        _TMP: "written",
        "/new": "written",
    }
    assert stopped.code == 0


def test_a_serverless_container_may_write_to_tmp_alone_and_is_nobody(launcher: Containers) -> None:
    config = ServerlessConfig(1024, concurrency=1)

    def make() -> Server:
        memory, options = f"{config.memory_mb}m", config.options(launcher.cpus())
        return launcher.make(Definition(memory=memory, options=options))

    with Serverless(make, config.concurrency) as target:
        told = _rights(Endpoint("stub", target), _TMP, "/root/new", "/new")
    assert told == {
        "uid": 1017,
        "shm": False,
        _TMP: "written",
        "/root/new": "Permission denied",
        "/new": "Read-only file system",
    }
    assert len(target.cold_starts) == 1


def test_containers_of_a_pipeline_share_a_network_and_listen_where_they_are_told(
    launcher: Containers, stub_image: str
) -> None:
    launcher.require_label(pipeline.LABEL)
    with contextlib.ExitStack() as stack:
        servers = []
        for rank, made_by in enumerate((launcher, launcher.beside(stub_image))):
            definition = pipeline.staged(Definition(port=pipeline.stage_port(rank)), rank)
            servers.append(stack.enter_context(made_by.make(definition)))
        endpoint = Endpoint("stub", Pipeline(servers))
        answer = endpoint.invoke(b'{"status": 200, "message": "features"}')
        seen = json.loads(answer.body)
        addresses = {server.address() for server in servers}
    assert seen["environment"]["SAGEMAKER_BIND_TO_PORT"] == "8082"
    assert len({address.host for address in addresses if address}) == 1


def test_an_image_that_does_not_announce_what_is_asked_of_it_is_refused() -> None:
    with Engine() as engine:
        launcher = Containers(engine, BASE, Lifecycle())
        with pytest.raises(EmulatorError, match=r"LABEL com\.amazonaws\.\S+multi-models=true"):
            launcher.require_label(multi_model.LABEL)


def _ask_until_one_has_to_go(boto: Any, names: list[str], log: Path) -> None:
    """Ask models, and in the end the first once more: all answer the same."""
    scan = (ROOT / "local_test/payload.png").read_bytes()

    def ask(name: str) -> Any:
        answer = boto.invoke_endpoint(
            EndpointName="emulator", TargetModel=name, ContentType="image/png", Body=scan
        )
        return json.loads(answer["Body"].read())["predictions"]

    first, *others = names
    answer = ask(first)
    for name in others:
        assert ask(name) == answer
        if "unloaded" in log.read_text():
            break
    assert ask(first) == answer


def test_models_of_our_image_come_and_go_within_the_memory_of_a_multi_model_endpoint(
    serve_image: str, archive: Path, tmp_path: Path
) -> None:
    names = [f"{number}.tar.gz" for number in range(12)]
    (tmp_path / "models").mkdir()
    for name in names:
        shutil.copy(archive, tmp_path / "models" / name)
    command = [sys.executable, "-m", "local_test.emulator", "multi-model", serve_image]
    options = ["--models", str(tmp_path / "models"), "--memory", "600m"]
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as running,
    ):
        assert running.stdout
        try:
            with contextlib.closing(runtime(running.stdout.readline().strip())) as boto:
                _ask_until_one_has_to_go(boto, names, log)
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 128 + signal.SIGINT
    notes = re.findall(r"emulator: (\w+) 0\.tar\.gz", log.read_text())
    assert notes == ["loaded", "unloaded", "loaded"]
    assert "POST /models 507" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_container_gently_and_leaves_nothing(
    stub_image: str, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "local_test.emulator", "serve", stub_image]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        url = running.stdout.readline().strip()
        with contextlib.closing(runtime(url)) as boto:
            boto.invoke_endpoint(EndpointName="emulator", Body=b"x")
        label = run_label(stub_image)
        # The container and its network.
        assert len(labelled(label)) == 2
        running.send_signal(number)
        _, log = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "ended by SIGTERM" in log
    assert labelled(label) == []


def test_where_containers_are_not_reached_themselves_their_port_is_published_on_loopback(
    stub_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with Docker Desktop, WSL2 and rootless engines; the engine here would reach them."""
    monkeypatch.setattr(Engine, "reaches", lambda _engine, _network: False)
    with Engine() as engine:
        launcher = Containers(engine, stub_image, Lifecycle(QUICK, grace=10))
        with launcher.make(Definition()) as server:
            address = server.address()
            assert address
            assert (address.host, address.port != 8080) == ("127.0.0.1", True)
            assert Endpoint("stub", Single(server)).invoke(b"x").status == 200
        with pytest.raises(EmulatorError, match="which a pipeline does not have"):
            launcher.beside(stub_image)
        with pytest.raises(EmulatorError, match="which an isolated network does not have"):
            Containers(engine, stub_image, Lifecycle(), isolated=True)
        monkeypatch.setattr(Engine, "is_local", False)
        with pytest.raises(EmulatorError, match=r"is on another machine.*unset DOCKER_HOST"):
            Containers(engine, stub_image, Lifecycle())
    assert left_of(engine) == []
