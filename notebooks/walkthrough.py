# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a zip of scans to an endpoint
#
# Look at the data, see why its own test side cannot be trusted, train, read the report, ask the
# model, then take the same model to AWS. **It is not a medical device**: no answer here is a
# diagnosis.
#
# Two environments, because SageMaker's SDK and TensorFlow want different packages:
#
# ```
# local_test/make_venv.sh .venv-demo requirements.txt  # `brain-tumor`: trains and serves
# python3 -m venv .venv-deploy
# .venv-deploy/bin/pip install --require-hashes -r deploy/requirements.txt  # notebook and AWS
# export PATH=$PWD/.venv-demo/bin:$PATH
# ```
#
# In JupyterLab, VS Code or SageMaker Studio take the Python of `.venv-deploy` as kernel.

# %%
import base64
import html
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

from IPython.display import HTML, display

# %% [markdown]
# ## Settings
#
# Without an archive, heads are drawn: they show that everything works, and nothing about real
# scans. The first edition of Kaggle's *Brain Tumor MRI Dataset* is what the project is made for;
# any zip of class folders will do.

# %% tags=["parameters"]
ARCHIVE = os.environ.get("BRAIN_TUMOR_ARCHIVE", "")  # such as "brain-tumor-mri.zip"
FOLDER = "walkthrough"  # where everything is put
PER_CLASS = 100  # heads to draw, where there is no archive
DRAWN = {"epochs": "20", "image-size": "64", "batch-size": "16", "backbone": "small"}  # minutes
RECIPE: dict[str, str] = {}  # for an archive: the defaults, half an hour and more on two cores
ON_AWS = False  # AWS's calls are only printed; True makes things there, an endpoint too
TRAIN_THERE = False  # True, with ON_AWS, trains on a machine of SageMaker's as well
JOB = f"brain-tumor-{datetime.now(UTC):%Y%m%d-%H%M%S}"  # the name of that job
DELETE = False  # True, with ON_AWS, deletes all of the project there, whoever made it

# %%
ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "deploy").is_dir())
BRAIN_TUMOR = shutil.which("brain-tumor")
assert BRAIN_TUMOR, "brain-tumor is not on PATH: see the top of this notebook"
WORK = Path(FOLDER).resolve()
WORK.mkdir(parents=True, exist_ok=True)


def run(*words: object, lines: int = 12, **variables: str) -> str:
    """Run a command, show the end of what it prints, and give all of it."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print("\n".join(done.stdout.splitlines()[-lines:]))
    assert done.returncode == 0, f"{words[0]} ended with {done.returncode}"
    return done.stdout


def picture(data: bytes, caption: str, width: int = 150) -> str:
    """Give a picture with a line below it, as HTML."""
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    encoded = base64.b64encode(data).decode()
    return (
        f'<figure style="display:inline-block;margin:4px;width:{width}px;vertical-align:top">'
        f'<img src="data:image/{kind};base64,{encoded}" style="width:100%">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def table(head: list[str], rows: list[list[object]]) -> HTML:
    """Give a table, as HTML."""
    lines = [f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in head)}</tr>"]
    for row in rows:
        cells = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row)
        lines.append(f"<tr>{cells}</tr>")
    return HTML(f"<table>{''.join(lines)}</table>")


# %% [markdown]
# ## The data

# %%
if ARCHIVE:
    archive = Path(ARCHIVE).resolve()
else:
    archive = WORK / "drawn.zip"
    python = Path(BRAIN_TUMOR).parent / "python"
    # Some of the training side stands mirrored in the test side too, as in the public archive.
    run(
        python,
        "local_test/phantoms.py",
        archive,
        "--per-class",
        PER_CLASS,
        "--leaked",
        PER_CLASS // 4,
    )

with zipfile.ZipFile(archive) as scans:
    by_class = defaultdict(list)
    for name in scans.namelist():
        if name.lower().endswith((".jpg", ".jpeg", ".png")) and "__MACOSX" not in name:
            by_class[name.split("/")[-2]].append(name)
    for label, names in sorted(by_class.items()):
        chosen = names[:: max(1, len(names) // 5)][:5]
        shown = "".join(picture(scans.read(name), Path(name).name) for name in chosen)
        display(HTML(f"<b>{html.escape(label)}</b>: {len(names)} files<br>{shown}"))

# %% [markdown]
# ## The leak
#
# A scan of the test side that also stands in the training side tests nothing: the model has seen
# it. `brain-tumor check` finds copies in any flip or quarter turn, and in any encoding.

# %%
run(BRAIN_TUMOR, "check", archive, "--out", WORK / "check")
report = json.loads((WORK / "check" / "dataset_report.json").read_text())
tested = len(report["splits"].get("test", []))
leaks = [leak for leak in report["leaks"] if leak["file"] in set(report["splits"].get("test", []))]
print(f"\n{len(leaks)} of {tested} test files stand in training too.")
poses = defaultdict(int)
for leak in leaks:
    poses[leak["pose"]] += 1
table(["how the copy lies", "test files"], [[pose, count] for pose, count in poses.items()])

# %% [markdown]
# Some of them, beside their copy in the training side:

# %%
with zipfile.ZipFile(archive) as scans:
    for leak in leaks[:: max(1, len(leaks) // 3)][:3]:
        pair = [(leak["file"], "test"), (leak["matches"][0], "training")]
        shown = "".join(picture(scans.read(name), f"{side}: {name}", 190) for name, side in pair)
        display(HTML(f"{shown} {html.escape(leak['pose'])}"))

# %% [markdown]
# So the archive's own sides are not used. `prepare` pools them, keeps one file of each picture,
# and puts what resembles each other on one side. Slices of one patient can still stand on two: no
# file names its patient.

# %%
run(BRAIN_TUMOR, "prepare", archive, WORK / "prepared")

# %% [markdown]
# ## Train
#
# The folder is laid out as SageMaker lays out `/opt/ml`, and the command is the one that it
# starts.

# %%
ml = WORK / "ml"
shutil.rmtree(ml, ignore_errors=True)
shutil.copytree(ROOT / "local_test/test_dir/input/config", ml / "input/config")
(ml / "input/config/hyperparameters.json").write_text(json.dumps(RECIPE if ARCHIVE else DRAWN))
for folder in ("model", "output/data"):
    (ml / folder).mkdir(parents=True)
for channel in ("train", "val", "test"):
    (ml / "input/data" / channel).mkdir(parents=True)
    shutil.copy(WORK / "prepared" / f"{channel.title()}.zip", ml / "input/data" / channel)
run(BRAIN_TUMOR, "train", SAGEMAKER_BASE_DIR=str(ml))

# %% [markdown]
# ## Read the report
#
# `report.html` has all of it. A figure without its interval says little: with few test scans the
# interval is wide, and another split would give another figure.

# %%
data = ml / "output/data"
evaluation = json.loads((data / "evaluation.json").read_text())
metrics = evaluation["multiclass_classification_metrics"]
rows = []
for name in ("accuracy", "balanced_accuracy", "macro_f1"):
    interval = metrics[name]["confidence_interval"]
    between = f"{interval['lower']:.3f} to {interval['upper']:.3f}"
    rows.append([name, f"{metrics[name]['value']:.3f}", between])
print(f"On {evaluation['dataset']['item_count']} test scans; the whole report: {data}/report.html")
table(["figure", "value", "95 % interval"], rows)

# %%
for name in ("learning_curves.png", "confusion_matrix.png"):
    display(HTML(picture((data / name).read_bytes(), name, 640)))

# %% [markdown]
# ## Ask the model
#
# The server is the one that runs behind an endpoint. Three test scans, and a heat map: where the
# network looked, which is not where a tumour is.

# %%
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
url = f"http://127.0.0.1:{port}"
serve = Path(BRAIN_TUMOR).parent / "serve"
settings = {"SAGEMAKER_BASE_DIR": str(ml), "PORT": str(port), "BRAIN_TUMOR_HOST": "127.0.0.1"}
with (WORK / "serve.log").open("wb") as log:
    server = subprocess.Popen([serve], env={**os.environ, **settings}, stdout=log, stderr=log)

asked = WORK / "asked"
asked.mkdir(exist_ok=True)
with zipfile.ZipFile(WORK / "prepared" / "Test.zip") as scans:
    names = scans.namelist()
    for name in names[:: max(1, len(names) // 3)][:3]:
        (asked / name.replace("/", "-")).write_bytes(scans.read(name))
files = sorted(asked.iterdir())

try:
    for _ in range(600):
        assert server.poll() is None, (WORK / "serve.log").read_text()
        try:
            urllib.request.urlopen(f"{url}/ping", timeout=2).close()
            break
        except OSError:
            time.sleep(0.2)
    predict = [sys.executable, "-m", "deploy", "predict", "--url", url]
    run(*predict, *files)
    maps = WORK / "heat_maps"
    run(*predict, *files, "--accept", "image/png", "--out", maps)
finally:
    server.terminate()
    server.wait(timeout=30)
shown = [picture(path.read_bytes(), path.name) for path in sorted(maps.iterdir())]
display(HTML("".join(shown)))

# %% [markdown]
# ## The same on AWS
#
# Unless `ON_AWS` is set above, these cells print the calls that they would make, and make none: no
# account is needed, and nothing costs anything. On AWS they need what `docs/aws.md` tells (a user,
# a profile), and the image in ECR: `./build_and_push.sh brain-tumor`. **An endpoint costs money
# until it is deleted.**


# %%
def deploy(*words: object, real: bool = ON_AWS, lines: int = 12) -> str:
    """Run `python -m deploy`: for real, or printing its calls."""
    how = "--yes" if real else "--dry-run"
    return run(sys.executable, "-m", "deploy", *words, how, lines=lines)


# %% [markdown]
# The bucket and the role; then the scans:

# %%
deploy("setup")
deploy("upload", WORK / "prepared")

# %% [markdown]
# The same training as a job of SageMaker's, which brings the same folders home. Without
# `TRAIN_THERE` it is only shown.

# %%
there = ON_AWS and TRAIN_THERE
recipe = RECIPE if ARCHIVE else DRAWN
settings = [word for name, value in recipe.items() for word in ("-s", f"{name}={value}")]
deploy("train", "--name", JOB, "--out", WORK / "jobs", *settings, real=there)
trained = WORK / "jobs" / JOB if there else ml

# %% [markdown]
# The model goes into the registry with its figures and its card, and from there, approved, behind
# an endpoint.

# %%
registered = deploy("register", trained, "--status", "Approved")
packages = [word for word in registered.split() if ":model-package/" in word]
deploy("endpoint", "--serverless", "--model", packages[0] if packages else trained / "model")

# %%
deploy("predict", *files)

# %% [markdown]
# ## Away with it
#
# `status` lists all that carries the project's tag, `delete` removes it: the bucket with its scans,
# trained models and the image too, also what this notebook did not make. So it does that only where
# `DELETE` is set above as well. The endpoint alone goes by
# `aws sagemaker delete-endpoint --endpoint-name brain-tumor-endpoint`.

# %%
deploy("status", lines=30)
deploy("delete", real=ON_AWS and DELETE, lines=30)
if ON_AWS and not DELETE:
    print("Nothing was deleted, and the endpoint is there: run python -m deploy delete")
