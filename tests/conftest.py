"""Fixtures that several test modules share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker import IMAGE, build
from tests.jobs import ROOT, make_ml_dir, run_train
from tests.server import Server, free_port


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a zip of synthetic scans in the Kaggle layout, 12 a class."""
    path = tmp_path_factory.mktemp("phantoms") / "phantoms.zip"
    script = ROOT / "local_test" / "phantoms.py"
    subprocess.run([sys.executable, script, path, "--per-class", "12"], check=True)
    return path


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Path:
    """Give a folder with Train.zip, Val.zip and Test.zip made of the phantoms."""
    from brain_tumor.data.prepare import prepare

    folder = tmp_path_factory.mktemp("prepared")
    prepare(phantoms, folder, val=0.2, test=0.2)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """Give an /opt/ml after a real training job of a few seconds on phantoms."""
    ml_dir = make_ml_dir(
        tmp_path_factory.mktemp("trained"),
        {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")},
        {"epochs": "3", "image-size": "32", "batch-size": "8", "backbone": "small"},
    )
    job = run_train(ml_dir)
    assert job.returncode == 0, job.stderr
    (ml_dir / "stdout.log").write_text(job.stdout)
    (ml_dir / "stderr.log").write_text(job.stderr)
    return ml_dir


@pytest.fixture(scope="session")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a real gunicorn that serves the trained phantoms, ready."""
    log = tmp_path_factory.mktemp("server") / "serve.log"
    with Server.start(trained, free_port(), log) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="session")
def image() -> str:
    """Build the image."""
    return build(IMAGE)


@pytest.fixture(scope="session")
def serve_image(image: str) -> str:
    """Build the image that only serves; its layers are there since the other one was built."""
    return build(f"{image}-serve", "--target", "serve", ROOT)
