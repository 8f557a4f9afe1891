"""deploy/virtual_machine: the unit by systemd and Docker, the user-data by cloud-init's schema."""

import itertools
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.deploy.served import assert_classifies, wait_until_healthy
from tests.deploy.tools import TOOLS, needs_command, needs_tool
from tests.docker import docker, inspect, needs_docker
from tests.jobs import ROOT
from tests.ports import free_port
from tests.server import request

FILES = ROOT / "deploy/virtual_machine"
UNIT = FILES / "brain-tumor.service"
IMAGE = "registry.example.org/brain-tumor-serve@sha256:" + 64 * "a"


def _user_data(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = FILES / "user_data.sh"
    return subprocess.run([script, *arguments], capture_output=True, text=True)


def _setting(name: str) -> str:
    """Give a setting of the unit, its lines joined."""
    text = UNIT.read_text().replace("\\\n", " ")
    found: list[str] = re.findall(rf"^{name}=(.*)$", text, re.M)
    return found[-1]


@needs_command("systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit_and_calls_it_hardened(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    # Docker's own unit is not there on every machine that tests.
    unit.write_text(UNIT.read_text().replace("Requires=docker.service\n", ""))
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT)]
    judged = subprocess.run(judge, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout[-200:]


def test_the_unit_leaves_the_server_more_time_to_drain_than_it_takes() -> None:
    drain = int(re.findall(r"BRAIN_TUMOR_DRAIN_SECONDS=(\d+)", _setting("ExecStart"))[0])
    wait = int(re.findall(r"-t (\d+)", _setting("ExecStop"))[0])
    assert drain < wait < int(_setting("TimeoutStopSec"))


def _start(image: str, folder: Path, port: int, name: str, **settings: str) -> list[str]:
    """Give the words that systemd would run to start the server of a folder."""
    defaults = dict(pair.split("=") for pair in _setting("Environment").split())
    values = {**defaults, "IMAGE": image, **settings}
    there = {
        "/usr/bin/docker": "docker",
        "/var/lib/brain-tumor": str(folder),
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "--name brain-tumor": f"--name {name}",
    }
    command = _setting("ExecStart")
    for written, meant in there.items():
        command = command.replace(written, meant)
    return [
        re.sub(r"\$(?:\$|\{(\w+)\})", lambda met: values[met[1]] if met[1] else "$", word)
        for word in shlex.split(command)
    ]


def _folder(trained: Path, folder: Path) -> Path:
    """Copy a model, with its checksums beside it."""
    shutil.copytree(trained / "model", folder / "model")
    # The command that the unit's head gives.
    make = "(cd model && find . -type f -exec sha256sum {} +) > model.sha256"
    assert f"#   {make}\n" in UNIT.read_text()
    subprocess.run(["bash", "-c", make], cwd=folder, check=True)
    return folder


@needs_docker
def test_the_units_own_commands_start_a_server_that_answers_and_stop_it(
    serve_image: str, trained: Path, tmp_path: Path
) -> None:
    port, name = free_port(), f"unit-{free_port()}"
    folder = _folder(trained, tmp_path)
    start = _start(serve_image, folder, port, name, SERVE_MEMORY="3g", BRAIN_TUMOR_MAX_BODY_MB="1")
    stop = [*shlex.split(_setting("ExecStop").replace("/usr/bin/", ""))[:-1], name]
    with subprocess.Popen(
        start, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            wait_until_healthy(port)
            assert_classifies(port)
            described = inspect(name)
            assert described["Config"]["User"] == "65532:65532"
            # What stands in /etc/brain-tumor.env.
            assert described["HostConfig"]["Memory"] == 3 * 2**30
            large = request(port, "POST", "/invocations", b"x" * 1_000_001)
            assert large.status == 413
        finally:
            stopped = subprocess.run(stop, capture_output=True, timeout=60)
        assert stopped.returncode == 0
        printed, _ = running.communicate(timeout=60)
        # What the journal gets, and an end that systemd takes for a clean one.
        assert '"level": "INFO"' in printed
        assert running.returncode == 0


@needs_docker
def test_a_model_with_a_file_too_many_is_not_served(
    serve_image: str, trained: Path, tmp_path: Path
) -> None:
    folder = _folder(trained, tmp_path)
    (folder / "model/extra").touch()
    ended = docker(*_start(serve_image, folder, free_port(), f"unit-{free_port()}")[1:])
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "holds files that model.sha256 does not name" in ended.stderr


def _default(met: re.Match[str]) -> str:
    """Give the unit's word for Compose's ${NAME:-default}; its defaults stand by themselves."""
    assert f"{met[1]}={met[2]}" in _setting("Environment").split()
    return f"${{{met[1]}}}"


def test_the_unit_runs_what_the_compose_file_runs() -> None:
    text = (ROOT / "deploy/on_premises/compose.yaml").read_text()
    text = re.sub(r"\$\{((?:SERVE|BRAIN_TUMOR_MAX)_\w+):-(\w+)\}", _default, text)
    serve = yaml.safe_load(text)["services"]["serve"]
    start = shlex.split(_setting("ExecStart"))
    option = dict(itertools.pairwise(start))
    assert option["--memory"] == serve["mem_limit"]
    assert option["--cpus"] == serve["cpus"]
    assert option["--pids-limit"] == str(serve["pids_limit"])
    assert [option["--tmpfs"]] == serve["tmpfs"]
    assert option["--user"] == serve["user"]
    assert [option["--cap-drop"]] == serve["cap_drop"]
    assert [option["--security-opt"]] == serve["security_opt"]
    assert ("--read-only" in start) == serve["read_only"]
    assert {f"{name}={value}" for name, value in serve["environment"].items()} < set(start)
    shell, flags, check = serve["command"]
    assert [*start[-3:-1], start[-1].split()] == [shell, flags, check.split()]


def test_user_data_holds_the_unit_as_it_is_and_the_image_and_no_secret() -> None:
    done = _user_data(IMAGE)
    assert done.stdout.startswith("#cloud-config\n")
    written = {file["path"]: file for file in yaml.safe_load(done.stdout)["write_files"]}
    unit = written["/etc/systemd/system/brain-tumor.service"]
    assert unit["content"] == UNIT.read_text()
    assert written["/etc/brain-tumor.env"]["content"] == f"IMAGE={IMAGE}\n"
    assert 'Automatic-Reboot "true";' in written["/etc/apt/apt.conf.d/52brain-tumor"]["content"]
    assert len(written) == 3


@needs_tool("cloud-config.json")
def test_cloud_inits_own_schema_takes_the_user_data() -> None:
    schema = json.loads((TOOLS / "cloud-config.json").read_text())
    document = yaml.safe_load(_user_data(IMAGE).stdout)
    validator = jsonschema.Draft4Validator(schema)
    validator.validate(document)
    # The schema is one that can refuse.
    assert not validator.is_valid({**document, "packages": 1})


@pytest.mark.parametrize("image", ["x; rm -rf /", "a b", "$(id)", "x\ny"])
def test_user_data_takes_no_image_that_could_be_more_than_a_name(image: str) -> None:
    done = _user_data(image)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is no name of an image" in done.stderr


@pytest.mark.parametrize("image", ["brain-tumor-serve", "x:1.0", "x@sha256:12", IMAGE + "0"])
def test_user_data_takes_no_image_that_may_be_another_one_tomorrow(image: str) -> None:
    done = _user_data(image)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no digest; wanted NAME@sha256:..." in done.stderr
