"""deploy/virtual_machine: the unit by systemd and Docker, the user-data by cloud-init's schema."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.deploy.served import assert_classifies, wait_until_healthy
from tests.deploy.tools import TOOLS, needs_command, needs_tool
from tests.docker import inspect, needs_docker
from tests.jobs import ROOT
from tests.ports import free_port

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


@needs_docker
def test_the_units_own_commands_start_a_server_that_answers_and_stop_it(
    serve_image: str, trained: Path
) -> None:
    port, name = free_port(), f"unit-{free_port()}"
    there = {
        "${IMAGE}": serve_image,
        "/var/lib/brain-tumor": str(trained),
        "127.0.0.1:8080": f"127.0.0.1:{port}",
        "--name brain-tumor": f"--name {name}",
        "docker stop -t 30 brain-tumor": f"docker stop -t 30 {name}",
        "/usr/bin/docker": "docker",
    }
    commands = {}
    for setting in ("ExecStart", "ExecStop"):
        command = _setting(setting)
        for written, meant in there.items():
            command = command.replace(written, meant)
        commands[setting] = shlex.split(command)
    with subprocess.Popen(
        commands["ExecStart"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        try:
            wait_until_healthy(port)
            assert_classifies(port)
            config = inspect(name)["Config"]
            assert config["User"] == "65532:65532"
        finally:
            stopped = subprocess.run(commands["ExecStop"], capture_output=True, timeout=60)
        assert stopped.returncode == 0
        printed, _ = running.communicate(timeout=60)
        # What the journal gets, and an end that systemd takes for a clean one.
        assert '"level": "INFO"' in printed
        assert running.returncode == 0


def test_user_data_holds_the_unit_as_it_is_and_the_image_and_no_secret() -> None:
    done = _user_data(IMAGE)
    assert done.stdout.startswith("#cloud-config\n")
    written = {file["path"]: file for file in yaml.safe_load(done.stdout)["write_files"]}
    unit = written["/etc/systemd/system/brain-tumor.service"]
    assert unit["content"] == UNIT.read_text()
    assert written["/etc/brain-tumor.env"]["content"] == f"IMAGE={IMAGE}\n"
    assert len(written) == 2


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
