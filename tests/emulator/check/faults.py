"""Faults of the stub and of tiny images, each with the one rule that it breaks."""

from collections.abc import Mapping, Sequence

from local_test.emulator.check.image import Entry

# Commands: found without Docker.
COMMANDS = {
    "cannot train": "TRAIN-01",
    "saves no model": "TRAIN-02",
    "leaves a link": "TRAIN-03",
    "needs hyperparameters": "TRAIN-05",
    "refuses the SDK's keys": "TRAIN-06",
    "knows three of the SDK's keys": "TRAIN-06",
    "refuses the tuner's key": "TRAIN-07",
    "takes quotes for text": "TRAIN-08",
    "reads all config files": "TRAIN-09",
    "takes code for data": "TRAIN-10",
    "needs every folder": "TRAIN-11",
    "writes beside its data": "TRAIN-13",
    "fails with exit code 0": "TRAIN-15",
    "writes no failure file": "TRAIN-16",
    "begins with the traceback": "TRAIN-17",
    "holds its log back": "TRAIN-18",
    "draws bars": "TRAIN-19",
    "prints no metric": "TRAIN-20",
    "prints NaN": "TRAIN-20",
    "prints names that end alike": "TRAIN-26",
    "ignores SIGTERM in training": "TRAIN-21",
    "saves nothing when stopped": "TRAIN-22",
    "keeps no checkpoint": "TRAIN-23",
    "begins anew": "TRAIN-24",
    "cannot read its checkpoint": "TRAIN-24",
    "cannot serve": "SERVE-01",
    "listens on localhost": "SERVE-03",
    "talks in its ping": "SERVE-04",
    "knows GET alone": "SERVE-05",
    "pings behind predictions": "SERVE-06",
    "answers with 500": "SERVE-07",
    "names no type": "SERVE-08",
    "refuses Accept */*": "SERVE-09",
    "refuses headers": "SERVE-10",
    "reads no chunks": "SERVE-11",
    "mixes requests up": "SERVE-12",
    "closes connections": "SERVE-13",
    "fails at unknown types": "SERVE-14",
    "fails at broken bodies": "SERVE-15",
    "fails at empty bodies": "SERVE-16",
    "sends tracebacks": "SERVE-17",
    "refuses 25 MB": "SERVE-18",
    "has other metrics": "SERVE-19",
    "tells too much for batches": "BATCH-01",
    "names no strategy": "BATCH-01",
    "fails in batches": "BATCH-02",
    "lists models with 404": "MULTI-01",
    "lists models with another URL": "MULTI-01",
    "loads twice": "MULTI-02",
    "knows no 404 for models": "MULTI-03",
    "describes every model": "MULTI-04",
    "describes models by their name alone": "MULTI-04",
    "unloads what is not there": "MULTI-05",
    "writes to the model": "SERVE-20",
    "prints nothing": "SERVE-21",
    "healthy with a broken model": "SERVE-22",
    "ignores SIGTERM": "SERVE-24",
}

_JOBS = ("TRAIN-0[1-4]", "TRAIN-1[34]")
_SERVERS = ("SERVE-0[1-5]", "SERVE-23", "SERVERLESS-01")
# Images of the stub: the rule, and all that are tested.
IMAGES: Mapping[str, tuple[str, Sequence[str]]] = {
    "downloads at the start": ("TRAIN-04", _JOBS),
    "writes in FastFile mode": ("TRAIN-12", ("TRAIN-01", "TRAIN-09", "TRAIN-12")),
    "writes to its home": ("TRAIN-14", _JOBS),
    "saves on all hosts": ("TRAIN-25", ("TRAIN-01", "TRAIN-25")),
    "needs a network to serve": (
        "SERVE-02",
        ("SERVE-0[1-7]", "SERVE-23", "SERVERLESS-01", "BATCH-02"),
    ),
    "always takes 8080": ("SERVE-23", _SERVERS),
    "writes while it serves": ("SERVERLESS-01", _SERVERS),
}
# What passes with an image without a fault.
SOUND = (*_JOBS, "TRAIN-12", "TRAIN-25", *_SERVERS)

_LABEL = "com.amazonaws.sagemaker.capabilities"
# Files and configuration of an image: the rule, files that are put in (None takes one out), and
# what the engine's `Config` has.
FILES: Sequence[tuple[str, Mapping[str, bytes | None], Mapping[str, object]]] = [
    ("IMAGE-02", {}, {"Entrypoint": ["/bin/sh", "-c", "train"]}),
    ("IMAGE-02", {}, {"Entrypoint": ["/bin/bash", "-o", "pipefail", "-c", "train"]}),
    ("IMAGE-02", {}, {"Entrypoint": ["ash", "-c", "train"]}),
    ("IMAGE-03", {}, {"Entrypoint": ["/usr/bin/tini", "--"]}),
    ("IMAGE-04", {"usr/local/bin/train": None}, {}),
    ("IMAGE-05", {"usr/local/bin/serve": None}, {}),
    ("IMAGE-06", {}, {"Labels": {f"{_LABEL}.multi-model": "true"}}),
    ("IMAGE-06", {}, {"Labels": {f"{_LABEL}.multi-models": "yes"}}),
    ("IMAGE-09", {"opt/ml/code/train.py": b""}, {}),
    ("IMAGE-10", {"usr/lib/x86_64-linux-gnu/libcuda.so.1": b""}, {}),
    ("IMAGE-11", {"root/.aws/credentials": b"[default]"}, {}),
    ("IMAGE-11", {}, {"Env": ["AWS_SECRET_ACCESS_KEY=x"]}),
    ("IMAGE-11", {}, {"Env": ["HF_TOKEN=x"]}),
    ("IMAGE-12", {"root/.cache/pip/http/0": bytes(2 << 20)}, {}),
    ("IMAGE-13", {}, {"User": "1000:1000"}),
    ("IMAGE-14", {"usr/bin/pip3": None}, {}),
]
# What else is told of an image: the rule, and fields.
FIELDS: Sequence[tuple[str, Mapping[str, object]]] = [
    ("IMAGE-01", {"architecture": "arm64"}),
    ("IMAGE-07", {"manifest": "application/vnd.oci.image.index.v1+json"}),
    ("IMAGE-08", {"layers": [{"/x": Entry(0o100644, 52_001 * 1024**2)}]}),
]
