"""Training jobs in the Docker image that are stopped, or that find their disk full.

tests/test_interrupted_jobs.py has more of them, without the image.
"""

import json
import time
from pathlib import Path

import pytest

from brain_tumor.artifact import load_info
from tests.docker import container, docker, logs, needs_docker, wait
from tests.hosts import SMALL
from tests.jobs import make_ml_dir

pytestmark = needs_docker


def _wait_for_python(identifier: str) -> None:
    """Wait until the shell script `train` has become Python, some milliseconds after the start."""
    deadline = time.monotonic() + 30
    while "/opt/venv/bin/python" not in docker("top", identifier).stdout:
        assert time.monotonic() < deadline, logs(identifier)


def test_sigterm_while_the_container_starts_is_heard_and_leaves_a_model(
    image: str, prepared: Path, tmp_path: Path
) -> None:
    ml_dir = make_ml_dir(
        tmp_path / "ml", {"train": prepared / "Train.zip"}, {**SMALL, "epochs": "10000"}
    )
    with container("--network", "none", "-v", f"{ml_dir}:/opt/ml", image, "train") as job:
        _wait_for_python(job)
        docker("kill", "--signal", "TERM", job)
        assert wait(job) == 0, logs(job)
    history = json.loads((ml_dir / "output/data/training_history.json").read_text())
    assert (history["ended"], len(history["epochs"])) == ("asked to stop", 1)
    assert load_info(ml_dir / "model").metrics["ended"] == "asked to stop"


@pytest.mark.parametrize(
    ("folder", "limit"),
    # Which is full before training, with its first epoch, and while the model is saved.
    [("output", "size=8k"), ("output/tensorboard", "nr_inodes=1"), ("model", "size=64k")],
)
def test_a_full_volume_fails_the_job_with_the_folder_and_leaves_nothing_half_written(
    image: str, prepared: Path, tmp_path: Path, folder: str, limit: str
) -> None:
    ml_dir = make_ml_dir(
        tmp_path / "ml", {"train": prepared / "Train.zip"}, {**SMALL, "epochs": "1"}
    )
    # What is on a tmpfs is gone with the container.
    script = "train >&2; code=$?; cat /opt/ml/output/failure; ls -A /opt/ml/model; exit $code"
    job = docker(
        *("run", "--rm", "--network", "none", "-v", f"{ml_dir}:/opt/ml"),
        *("--tmpfs", f"/opt/ml/{folder}:{limit}", image, "bash", "-c", script),
    )
    assert job.returncode == 1, job.stderr
    (failure,) = job.stdout.splitlines()
    assert failure.startswith(f"The disk is full: no more can be written to /opt/ml/{folder}")
    assert "No space left on device" in failure
