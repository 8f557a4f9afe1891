"""The notebook, run from its first cell to its last, its AWS side against moto."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.deploy import loopback
from tests.deploy.conftest import succeed
from tests.deploy.tools import needs_sdk
from tests.jobs import ROOT, SDK

JOB = "brain-tumor-1"
_NOTEBOOK = ROOT / "notebooks" / "walkthrough.py"
# In a process of its own, as Jupyter does it; the settings come in a cell below the notebook's own.
_EXECUTE = """
import sys, jupytext, nbformat
from nbclient import NotebookClient
notebook = jupytext.read(sys.argv[1])
tagged = [cell.metadata.get("tags") == ["parameters"] for cell in notebook.cells]
notebook.cells.insert(tagged.index(True) + 1, nbformat.v4.new_code_cell(sys.argv[4]))
# Once more, as a reader who wants all of it gone.
again = ["DELETE = True", notebook.cells[-1].source]
notebook.cells += [nbformat.v4.new_code_cell(source) for source in again]
resources = {"metadata": {"path": sys.argv[2]}}
try:
    NotebookClient(notebook, timeout=500, resources=resources).execute()
finally:
    nbformat.write(notebook, sys.argv[3])
"""


def _execute(work: Path, variables: dict[str, str]) -> list[dict[str, Any]]:
    """Run the notebook as a reader would who opens it in its folder; give its cells."""
    made = work.parent / "walkthrough.ipynb"
    tiny = {"epochs": "3", "image-size": "32", "batch-size": "8", "backbone": "small"}
    settings = f"FOLDER = {str(work)!r}; PER_CLASS = 12; DRAWN = {tiny!r}; JOB = {JOB!r}; "
    settings += "ON_AWS = TRAIN_THERE = True"
    done = subprocess.run(
        [SDK, "-P", "-c", _EXECUTE, _NOTEBOOK, _NOTEBOOK.parent, made, settings],
        env={**variables, "BRAIN_TUMOR_ARCHIVE": ""},
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    cells: list[dict[str, Any]] = json.loads(made.read_text())["cells"]
    return cells


def _text(cells: list[dict[str, Any]]) -> str:
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = [output.get("text") or output["data"].get("text/html", "") for output in outputs]
    return "".join("".join(part) for part in shown)


@needs_sdk
def test_the_walkthrough_leads_from_the_data_to_an_endpoint_and_deletes_only_where_told_to(
    environment: dict[str, str], trained: Path, tmp_path: Path
) -> None:
    environment["AWS_PROFILE"] = "admin"
    loopback.push_image()
    succeed("setup", "--yes")
    loopback.leave_artefacts(trained, tmp_path, JOB)
    *cells, told = _execute(tmp_path / "walkthrough", environment)
    text = _text(cells)
    assert "12 of 24 test files stand in training too" in text
    assert "<td>mirror</td><td>12</td>" in text
    assert "<td>accuracy</td>" in text
    # By URL, and through the endpoint.
    assert text.count("file                           label") == 2
    assert text.count("data:image/png;base64,") == 5  # curves, confusion, three heat maps
    assert f"{JOB}: Completed" in text
    assert "/1 (Approved)" in text
    assert "[InService]" in text
    assert "Nothing was deleted" in text
    assert "deleted endpoint" not in text
    assert "deleted endpoint brain-tumor-endpoint" in _text([told])
    # An administrator's; `delete --with-user` takes it.
    assert loopback.all_names() == ["brain-tumor-execution"]


def test_nothing_that_the_notebook_shows_is_kept_in_the_project() -> None:
    listed = ["git", "ls-files", "--others", "--cached", "--exclude-standard", "notebooks"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["notebooks/walkthrough.py"]
    for made in ("walkthrough.ipynb", "walkthrough/prepared/Test.zip"):
        ignored = ["git", "check-ignore", "-q", f"notebooks/{made}"]
        assert subprocess.run(ignored, cwd=ROOT).returncode == 0
