"""Fixtures that several test modules share."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist import is_xdist_worker
from xdist.remote import Producer

from tests.docker import IMAGE, build
from tests.jobs import ROOT, make_ml_dir, run_cli
from tests.ports import free_port
from tests.server import Server
from tests.workers import ByGroup, made_once, order


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    """Divide tests among several workers as tests/workers.py has it, in the order below."""
    config.option.loadscopereorder = False
    return ByGroup(config, log)


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Put what is long first where there are several workers; one alone takes them as they are."""
    if is_xdist_worker(session):
        items.sort(key=order)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a zip of synthetic scans in the Kaggle layout, 12 a class."""

    def draw(folder: Path) -> None:
        script = ROOT / "local_test" / "phantoms.py"
        path = folder / "phantoms.zip"
        subprocess.run([sys.executable, script, path, "--per-class", "12"], check=True)

    return made_once(tmp_path_factory, "phantoms", draw) / "phantoms.zip"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, phantoms: Path) -> Path:
    """Give a folder with Train.zip, Val.zip and Test.zip made of the phantoms."""
    from brain_tumor.data.prepare import prepare

    return made_once(
        tmp_path_factory, "prepared", lambda folder: prepare(phantoms, folder, val=0.2, test=0.2)
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """Give an /opt/ml after a real training job of a few seconds on phantoms."""

    def train(folder: Path) -> None:
        ml_dir = make_ml_dir(
            folder,
            {name: prepared / f"{name.title()}.zip" for name in ("train", "val", "test")},
            {"epochs": "3", "image-size": "32", "batch-size": "8", "backbone": "small"},
        )
        job = run_cli("train", SAGEMAKER_BASE_DIR=str(ml_dir))
        assert job.returncode == 0, job.stderr
        (ml_dir / "stdout.log").write_text(job.stdout)
        (ml_dir / "stderr.log").write_text(job.stderr)

    return made_once(tmp_path_factory, "trained", train)


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
