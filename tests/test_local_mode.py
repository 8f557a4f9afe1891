"""`deploy train --local`: SageMaker's own local mode, on the real image, without an account."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli import main
from tests.deploy.tools import needs_sdk
from tests.docker import IMAGE, docker, needs_docker
from tests.jobs import ROOT, SDK, run_cli

COMPOSE = ROOT / ".tools"

pytestmark = [
    needs_docker,
    needs_sdk,
    pytest.mark.skipif(
        not (COMPOSE / "docker-compose").is_file() and not shutil.which("docker-compose"),
        reason="no Docker Compose: .ci/tools fetches it",
    ),
]


@pytest.fixture
def image() -> str:
    """Give the image, which tests/test_image.py builds."""
    if docker("image", "inspect", IMAGE).returncode:
        pytest.skip(f"there is no image {IMAGE}: tests/test_image.py builds it")
    return IMAGE


def _deploy(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `python -m deploy` as someone who has no account, no region, and no ~/.aws."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "HOME": str(folder),
        "PATH": f"{COMPOSE}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        # Whoever is asked for credentials or a telemetry bucket after all is not reached.
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return subprocess.run(
        [SDK, "-m", "deploy", *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def _left_behind() -> list[str]:
    """Give the containers and the network that the SDK made."""
    containers = docker("ps", "-aq", "--filter", f"ancestor={IMAGE}", "--filter", "name=algo-1")
    networks = docker("network", "ls", "-q", "--filter", "name=sagemaker-local")
    return containers.stdout.split() + networks.stdout.split()


def test_a_job_in_sagemakers_local_mode_leaves_a_model_and_its_reports(
    image: str, prepared: Path, tmp_path: Path
) -> None:
    small = ("epochs=1", "image-size=32", "backbone=small", "batch_size=8")
    settings = [word for setting in small for word in ("-s", setting)]
    done = _deploy(
        tmp_path, "train", "--local", prepared, "--image", image, "--name", "one", *settings
    )
    assert done.returncode == 0, done.stdout + done.stderr
    job = tmp_path / "jobs/one"
    assert (job / "model/1/saved_model.pb").is_file()
    assert json.loads((job / "output/data/evaluation.json").read_text())
    assert _left_behind() == []
    assert not (job / "containers").exists()
    # The folder with the zips was not mounted, and holds what it held.
    assert not list(prepared.glob("*.lock"))


def test_the_cause_of_a_failure_is_told_by_its_own_words(
    image: str, prepared: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/Train.zip").write_bytes(b"this is no zip")
    done = _deploy(tmp_path, "train", "--local", "broken", "--image", image, "--name", "two")
    assert done.returncode == 1
    assert "Error: two failed: " in done.stderr
    assert "Train.zip" in done.stderr.split("Error: ")[1]
    assert "Traceback" not in done.stderr.split("Error: ")[1]
    assert _left_behind() == []


def test_the_image_itself_is_asked_for_its_metrics_and_ranges(image: str) -> None:
    told = json.loads(run_cli("metric-definitions").stdout)
    words = ("tune", "--dry-run", "--region", "eu-central-1", "--image", "i", "--ask", image)
    printed = CliRunner().invoke(main, words).output
    assert json.dumps(told[0]["Regex"]) in printed
    assert '"ContinuousParameterRanges"' in printed
