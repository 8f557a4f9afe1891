"""A small `train` that keeps every rule, or breaks the one that FAULT names.

With SAGEMAKER_BASE_DIR for /opt/ml. It needs the standard library alone.
"""

import json
import math
import os
import signal
import socket
import sys
import time
from pathlib import Path

ML = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
FAULT = os.environ.get("FAULT", "")
EPOCH_SECONDS = 0.1
KNOWN = {"epochs"}
THREE = {"sagemaker_region", "sagemaker_job_name", "sagemaker_container_log_level"}
# What TensorFlow says on stderr when it is imported, whatever becomes of stdout.
NOISE = (
    "2026-11-26 03:00:00.123456: I tensorflow/core/util/port.cc:153] oneDNN custom operations are "
    "on. To turn them off, set the environment variable `TF_ENABLE_ONEDNN_OPTS=0`."
)


class StoppedError(Exception):
    """SIGTERM came."""


def read_hyperparameters() -> dict[str, str]:
    path = ML / "input/config/hyperparameters.json"
    if not path.exists() and FAULT != "needs hyperparameters":
        return {}
    given: dict[str, str] = json.loads(path.read_text())
    for name in set(given) - KNOWN:
        if name.startswith("sagemaker_") and FAULT != "refuses the SDK's keys":
            if FAULT == "knows three of the SDK's keys" and name not in THREE:
                raise ValueError(f"unknown hyperparameter {name}")
            continue
        if name == "_tuning_objective_metric" and FAULT != "refuses the tuner's key":
            continue
        raise ValueError(f"unknown hyperparameter {name}")
    return given


def read_level(given: dict[str, str]) -> None:
    """Refuse what the SDK never sends, as sagemaker-training does."""
    level = json.loads(given.get("sagemaker_container_log_level", "20"))
    if not isinstance(level, int):
        raise ValueError(f"Unknown level: {level!r}")


def read_channels() -> list[Path]:
    config = ML / "input/config"
    if FAULT == "reads all config files":
        for path in config.glob("*.json"):
            if "emulated" in json.loads(path.read_text()):
                raise ValueError(f"{path} is not known")
    channels = json.loads((config / "inputdataconfig.json").read_text())
    files: list[Path] = []
    for name in channels:
        folder = ML / "input/data" / name
        if name in {"code", "sm_drivers"}:
            if FAULT == "takes code for data":
                raise ValueError(f"{name} holds no image")
            continue
        if FAULT == "needs every folder" and not folder.is_dir():
            raise FileNotFoundError(folder)
        files += [path for path in folder.rglob("*") if path.is_file()]
    return files


def number(text: str) -> int:
    value = text if FAULT == "takes quotes for text" else json.loads(text)
    return int(value)


def break_at_start(files: list[Path]) -> None:
    if FAULT == "cannot train":
        raise RuntimeError("nothing works here")
    if FAULT == "writes beside its data":
        (files[0].parent / "cache.bin").write_bytes(b"x")
    if FAULT == "writes in FastFile mode" and "FastFile" in config_text("inputdataconfig"):
        (files[0].parent / "cache.bin").write_bytes(b"x")
    if FAULT == "downloads at the start":
        socket.gethostbyname("outside")
    if FAULT == "writes to its home":
        Path("/root/cache.bin").write_bytes(b"x")


def config_text(name: str) -> str:
    return (ML / f"input/config/{name}.json").read_text()


def train() -> None:
    print(NOISE, NOISE, sep="\n", file=sys.stderr, flush=True)
    given = read_hyperparameters()
    read_level(given)
    epochs = number(given.get("epochs", "5"))
    files = read_channels()
    if not files:
        raise ValueError("the channels hold no file")
    break_at_start(files)
    if FAULT == "trains for a short time alone" and epochs > 1000:
        raise ValueError("too many epochs")
    kept = ML / "checkpoints/epoch"
    first = resume(kept)
    if first and FAULT == "ends before it is stopped":
        epochs = first
    try:
        for epoch in range(first, epochs):
            learn(epoch, kept)
    except StoppedError:
        if FAULT != "saves nothing when stopped":
            save()
        sys.exit(1 if FAULT == "ends with 1 when stopped" else 0)
    if FAULT != "saves no model":
        save()


def resume(kept: Path) -> int:
    if not kept.exists() or FAULT == "begins anew":
        print(f"[{time.time():.6f}] no checkpoint to resume from", flush=True)
        return 0
    if FAULT == "cannot read its checkpoint":
        raise ValueError(f"{kept} is of another version")
    print(f"resumed from epoch {kept.read_text()}", flush=True)
    return int(kept.read_text())


def learn(epoch: int, kept: Path) -> None:
    time.sleep(60 if FAULT == "is slow" else EPOCH_SECONDS)
    bar = "1/2 [=>..]\r2/2 [====] " if FAULT == "draws bars" else ""
    name = "lss" if FAULT == "prints no metric" else "loss"
    value = math.nan if FAULT == "prints NaN" else 1 / (epoch + 1)
    more = f" val_loss={value:.3f};" if FAULT == "prints names that end alike" else ""
    print(f"{bar}{name}={value:.3f};{more}", flush=FAULT != "holds its log back")
    if FAULT == "ignores SIGTERM in training":
        save()
    if kept.parent.exists() and FAULT != "keeps no checkpoint":
        part = kept.parent / ".part"
        part.write_text(str(epoch + 1))
        part.replace(kept)


def save() -> None:
    cluster = json.loads(config_text("resourceconfig"))
    if cluster["current_host"] != sorted(cluster["hosts"])[0] and FAULT != "saves on all hosts":
        return
    (ML / "model").mkdir(exist_ok=True)
    (ML / "model/weights.json").write_text(json.dumps({"answer": 42, "padding": "x" * 99}))
    if FAULT == "leaves a link":
        (ML / "model/latest").symlink_to("weights.json")


def lead_training() -> None:
    def stop(*_: object) -> None:
        raise StoppedError

    if FAULT == "ignores SIGTERM in training":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, stop)
    try:
        train()
    except Exception as error:
        if FAULT == "fails with exit code 0":
            write_failure(error)
            return
        write_failure(error)
        raise


def write_failure(error: Exception) -> None:
    if FAULT == "writes no failure file":
        return
    text = f"{type(error).__name__}: {error}"
    if FAULT == "begins with the traceback":
        text = f"Traceback (most recent call last):\n  File x\n{text}"
    (ML / "output").mkdir(exist_ok=True)
    (ML / "output/failure").write_text(text)


if __name__ == "__main__":
    lead_training()
