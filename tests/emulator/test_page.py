"""The blocks of docs/emulator.md, run as a reader would."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from local_test.emulator.cli import main
from tests.docker import needs_docker
from tests.jobs import BIN, ROOT

_PAGE = (ROOT / "docs/emulator.md").read_text()
_BLOCKS = dict(re.findall(r"^<!-- ([^\n]*) -->\n```bash\n(.*?)^```$", _PAGE, re.M | re.S))


def _run(mark: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a block in a folder; what it names is found as in the project's own folder."""
    path = {"PYTHONPATH": str(ROOT), "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _BLOCKS[mark]],
        cwd=folder,
        env={**os.environ, **path, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


def _describe(folder: Path) -> dict[str, object]:
    described: dict[str, object] = json.loads(
        (folder / "emulator-out/trial/description.json").read_text()
    )
    return described


def test_every_block_is_marked_with_how_it_is_tested() -> None:
    assert _PAGE.count("```bash") == len(_BLOCKS)
    assert _BLOCKS.keys() == {"tested: Docker", "tested: no Docker"}


@needs_docker
def test_the_block_with_docker_works(tmp_path: Path, image: str) -> None:
    (tmp_path / "data/train").mkdir(parents=True)
    (tmp_path / "data/train/a").write_text("a")
    ran = _run("tested: Docker", tmp_path, IMAGE=image)
    assert "emulator-out/trial/logs/algo-2.log" in ran.stdout
    assert _describe(tmp_path)["EnableNetworkIsolation"] is True


def test_the_block_without_docker_trains_our_own_package_and_reads_all_its_metrics(
    tmp_path: Path, phantoms: Path
) -> None:
    shutil.copy(phantoms, tmp_path / "brain-tumor-mri.zip")
    ran = _run("tested: no Docker", tmp_path)
    assert {"1/saved_model.pb", "model.json", "class_names.json"} <= set(ran.stdout.split())
    described = _describe(tmp_path)
    assert described["TrainingJobStatus"] == "Completed"
    metrics = described["FinalMetricDataList"]
    assert isinstance(metrics, list)
    definitions = json.loads((tmp_path / "metrics.json").read_text())
    assert {m["MetricName"] for m in metrics} <= {d["Name"] for d in definitions}
    assert {"train_loss", "val_accuracy", "test_accuracy"} <= {m["MetricName"] for m in metrics}


def test_the_page_names_the_options_of_train_and_no_others() -> None:
    named = set(re.findall(r"`(--?[a-z][a-z0-9-]*)", _PAGE))
    options = {p.opts[0] for p in main.commands["train"].params} - {"image"}
    # How a Docker image is run.
    assert named == options
