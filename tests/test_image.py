"""The Docker image: built from the Dockerfile, run as the platform runs it."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from brain_tumor.training.metrics import METRIC_DEFINITIONS
from tests.docker import (
    container,
    docker,
    inspect,
    logs,
    needs_docker,
    python_in,
    wait_until_ready,
)
from tests.jobs import ROOT, describe_channels, make_ml_dir
from tests.server import request

pytestmark = needs_docker

FULL_CONTRACT_UID = "12345"
_ISOLATED = (
    *("--network", "none", "--read-only", "--tmpfs", "/tmp"),  # noqa: S108
    *("--user", FULL_CONTRACT_UID),
)
_ASK = (
    "import urllib.request as r; q = r.Request('http://127.0.0.1:8080/invocations', "
    "open('/scan.png', 'rb').read(), {'Content-Type': 'image/png'}); "
    "print(r.urlopen(q).read().decode())"
)


@pytest.fixture(scope="module")
def trained_in_image(image: str, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an /opt/ml after `train` where all is taken away that a platform may take away.

    There is no network, no file can be written but in /opt/ml and /tmp, the user is nobody that the
    image knows, has no home, and 64 MB of shared memory. FastFile's mount of the training data
    cannot be written by anybody.
    """
    ml_dir = make_ml_dir(
        tmp_path_factory.mktemp("image") / "ml",
        {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")},
        {"epochs": "2", "image-size": "32", "batch-size": "8"},
    )
    describe_channels(ml_dir, {"train": {"TrainingInputMode": "FastFile"}})
    for folder in (".", "model", "output", "output/data"):
        (ml_dir / folder).chmod(0o777)
    train = "input/data/train"
    job = docker(
        *("run", "--rm", *_ISOLATED, "-e", "HOME=/nonexistent", "--shm-size", "64m"),
        *("-v", f"{ml_dir}:/opt/ml", "-v", f"{ml_dir / train}:/opt/ml/{train}:ro"),
        *(image, "train"),
    )
    assert job.returncode == 0, job.stdout + job.stderr
    return ml_dir


def test_train_works_isolated_read_only_as_any_user_and_leaves_model_and_reports(
    trained_in_image: Path,
) -> None:
    for name in ("model/1/saved_model.pb", "model/model.json", "output/data/evaluation.json"):
        assert (trained_in_image / name).is_file()


def _answer(image: str, ml_dir: Path) -> dict[str, Any]:
    """Serve read-only, without a network, as any user; give the entry of the payload's scan."""
    scan = ROOT / "local_test" / "payload.png"
    with container(
        *(*_ISOLATED, "-v", f"{ml_dir / 'model'}:/opt/ml/model:ro"),
        *("-v", f"{scan}:/scan.png:ro", image, "serve"),
    ) as server:
        wait_until_ready(server)
        answer = python_in(server, _ASK)
        assert answer.returncode == 0, answer.stderr
        assert "Traceback" not in logs(server)
        assert "Engine openvino" in logs(server)
        (entry,) = json.loads(answer.stdout)["predictions"]
        return dict(entry)


def test_serve_works_read_only_without_a_network_as_any_user(
    image: str, trained_in_image: Path
) -> None:
    entry = _answer(image, trained_in_image)
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_image_that_only_serves_answers_the_same(
    image: str, serve_image: str, trained_in_image: Path
) -> None:
    assert _answer(serve_image, trained_in_image) == _answer(image, trained_in_image)


def test_compressed_dicom_and_heat_maps_are_answered_read_only_as_any_user(
    serve_image: str, trained_in_image: Path
) -> None:
    # JPEG-LS is decoded in a process of its own.
    dicom = Path(str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)))
    scan = ROOT / "local_test" / "payload.png"
    with container(
        *("--read-only", "--tmpfs", "/tmp", "--user", FULL_CONTRACT_UID, "-p", "127.0.0.1::8080"),  # noqa: S108
        *("-v", f"{trained_in_image / 'model'}:/opt/ml/model:ro", serve_image, "serve"),
    ) as server:
        wait_until_ready(server)
        port = int(docker("port", server, "8080").stdout.rsplit(":", 1)[1])
        for file, sent, wanted in (
            (dicom, "application/dicom", "application/json"),
            (scan, "image/png", "image/png"),
        ):
            headers = {"Content-Type": sent, "Accept": wanted}
            reply = request(port, "POST", "/invocations", file.read_bytes(), headers)
            assert (reply.status, reply.headers["Content-Type"]) == (200, wanted), reply.body


def test_the_image_that_only_serves_is_small_and_says_what_it_cannot_do(serve_image: str) -> None:
    assert inspect(serve_image)["Size"] < 450e6
    refused = docker(
        *("run", "--rm", "--network", "none", serve_image),
        *("brain-tumor", "evaluate", "/model", "/scans", "/out"),
    )
    assert refused.returncode == 1
    assert "is not installed here" in refused.stderr
    assert "Traceback" not in refused.stderr
    job = docker("run", "--rm", "--network", "none", serve_image, "train")
    assert job.returncode != 0
    assert "Traceback" not in job.stderr


def test_docker_stop_finishes_the_request_in_flight_and_ends_with_0_within_10_seconds(
    image: str, trained_in_image: Path
) -> None:
    scan = (ROOT / "local_test" / "payload.png").read_bytes()
    with container(
        *("-p", "127.0.0.1::8080", "-v", f"{trained_in_image / 'model'}:/opt/ml/model:ro"),
        *(image, "serve"),
    ) as server:
        wait_until_ready(server)
        port = int(docker("port", server, "8080").stdout.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            head = (
                "POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                f"Content-Length: {len(scan)}\r\n\r\n"
            )
            connection.sendall(head.encode() + scan[:1000])
            assert request(port, "GET", "/").status == 200
            start = time.monotonic()
            stopping = subprocess.Popen(["docker", "stop", server], stdout=subprocess.DEVNULL)
            while "Handling signal: term" not in logs(server):
                assert time.monotonic() - start < 10
            connection.sendall(scan[1000:])
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert stopping.wait(timeout=30) == 0
        assert time.monotonic() - start < 10
        assert inspect(server)["State"]["ExitCode"] == 0


def test_gunicorns_master_is_pid_1_and_the_application_its_only_child(
    image: str, trained_in_image: Path
) -> None:
    with container(
        "-v", f"{trained_in_image / 'model'}:/opt/ml/model:ro", image, "serve"
    ) as server:
        wait_until_ready(server)
        first = python_in(server, "print(open('/proc/1/cmdline').read().split(chr(0)))")
        assert "/opt/venv/bin/serve" in first.stdout
        children = python_in(server, "print(open('/proc/1/task/1/children').read())").stdout.split()
        assert len(children) == 1
        assert f"Booting worker with pid: {children[0]}" in logs(server)


def test_train_with_nothing_mounted_fails_and_says_what_is_missing(image: str) -> None:
    job = docker("run", "--rm", "--network", "none", image, "train")
    assert job.returncode != 0
    assert "/opt/ml/input/config/resourceconfig.json does not exist" in job.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ()),
        ((), ("brain-tumor", "train")),
        (("--entrypoint", "train"), ()),
        (("--entrypoint", "brain-tumor"), ("train",)),
        (("--entrypoint", "/bin/bash"), ("-c", "train")),
    ],
    ids=["nothing", "arguments", "entrypoint", "both", "shell"],
)
def test_containerentrypoint_and_containerarguments_reach_training_too(
    options: tuple[str, ...], words: tuple[str, ...], image: str
) -> None:
    job = docker("run", "--rm", "--network", "none", *options, image, *words)
    assert job.returncode != 0
    assert "/opt/ml/input/config/resourceconfig.json does not exist" in job.stderr


def test_arguments_after_train_are_refused_and_not_dropped(image: str) -> None:
    job = docker("run", "--rm", "--network", "none", image, "train", "--epochs", "2")
    assert job.returncode != 0
    assert "train takes no arguments, but was given: --epochs 2" in job.stderr


def test_sdk_3_runs_a_script_in_place_of_train_read_only_as_any_user_and_its_model_is_served(
    image: str, prepared: Path, tmp_path: Path
) -> None:
    drivers = shutil.copytree(ROOT / "tests" / "sm_drivers", tmp_path / "sm_drivers")
    (drivers / "sm_train").rename(drivers / "sm_train.sh")
    scans = {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")}
    ml_dir = make_ml_dir(
        tmp_path / "ml",
        {**scans, "code": ROOT / "docs" / "examples", "sm_drivers": drivers},
        {"epochs": "2", "image-size": "32", "batch-size": "8", "filters": "8"},
    )
    # What the SDK runs writes into input/, and changes the mode of a file: only its owner may.
    owner = os.getuid() or int(FULL_CONTRACT_UID)
    for path in (ml_dir, *ml_dir.rglob("*")):
        os.chown(path, owner, -1)
    script = "/opt/ml/input/data/sm_drivers/sm_train.sh"
    job = docker(
        *("run", "--rm", *_ISOLATED, "--user", owner, "-e", "TRAINING_JOB_NAME=own"),
        *("-v", f"{ml_dir}:/opt/ml", "--entrypoint", "/bin/bash", image),
        *("-c", f"chmod +x {script} && {script}"),
    )
    assert job.returncode == 0, job.stdout + job.stderr
    assert "Training Container Execution Completed" in job.stdout
    for definition in METRIC_DEFINITIONS:
        if definition["Name"] == "val_accuracy":
            assert len(re.findall(definition["Regex"], job.stdout)) == 2
    quality = json.loads((ml_dir / "output/data/evaluation.json").read_text())
    assert quality["dataset"]["item_count"] > 0
    entry = _answer(image, ml_dir)
    assert sum(entry["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_serve_with_nothing_mounted_fails_and_says_what_is_missing(image: str) -> None:
    job = docker("run", "--rm", "--network", "none", image, "serve")
    assert job.returncode == 1
    assert "/opt/ml/model/model.json does not exist" in job.stderr


def test_prepare_runs_as_the_caller_and_its_files_belong_to_the_caller(
    image: str, phantoms: Path, tmp_path: Path
) -> None:
    given = tmp_path / "in"
    given.mkdir()
    shutil.copy(phantoms, given)
    tmp_path.chmod(0o777)
    job = docker(
        *("run", "--rm", "--network", "none", "--user", f"{FULL_CONTRACT_UID}:{FULL_CONTRACT_UID}"),
        *("-v", f"{given}:/in:ro", "-v", f"{tmp_path}:/out", image),
        *("brain-tumor", "prepare", f"/in/{phantoms.name}", "/out/prepared"),
    )
    assert job.returncode == 0, job.stderr
    owners = {path.stat().st_uid for path in (tmp_path / "prepared").iterdir()}
    assert owners == {int(FULL_CONTRACT_UID)}


@pytest.mark.parametrize(
    "command", ["train", "serve", "brain-tumor", "bash", "python", "python3", "pip", "pip3"]
)
def test_the_commands_that_the_platform_and_its_sdk_call_are_on_path(
    image: str, command: str
) -> None:
    found = docker("run", "--rm", "--network", "none", image, "bash", "-c", f"command -v {command}")
    assert found.returncode == 0


def test_the_image_holds_no_compiler_and_consistent_packages(image: str) -> None:
    found = docker("run", "--rm", "--network", "none", image, "bash", "-c", "command -v gcc cc")
    assert found.returncode != 0
    checked = docker("run", "--rm", "--network", "none", image, "pip", "check")
    assert checked.returncode == 0, checked.stdout


def test_the_image_holds_little_that_nothing_uses(image: str) -> None:
    assert inspect(image)["Size"] < 1.6e9


def test_labels_commands_and_user_are_what_the_platform_expects(image: str) -> None:
    described = inspect(image)
    config = described["Config"]
    for capability in ("accept-bind-to-port", "multi-models"):
        label = f"com.amazonaws.sagemaker.capabilities.{capability}"
        assert config["Labels"][label] == "true"
    assert described["Architecture"] == "amd64"
    assert config["Entrypoint"] is None
    assert config["User"] in ("", "root", "0")
