"""How long a job takes to its first step: run by `benchmarks.training first-step`.

    python -m benchmarks.first_step ML_DIR

It is `brain-tumor train` on that folder, through sagemaker-training as always, but ends after the
first step, and prints one line of JSON: seconds since the process began. The least is importing
TensorFlow, as anybody imports it (in a process of its own), and building the network; the data
check is counted apart, with the import of what it alone needs.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

_SEEN: dict[str, float] = {}
_IMPORT = "import time; t = time.time(); import tensorflow; print(time.time() - t)"


def _age() -> float:
    """Seconds since this process began, as whatever program (proc(5))."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def timed(*arguments: Any, **options: Any) -> Any:
        started = _age()
        result = call(*arguments, **options)
        _SEEN[name] = _SEEN.get(name, 0.0) + _age() - started
        return result

    return timed


def _end_after_the_first_step(trainer: Any, images: Any, labels: Any) -> None:
    begun = _age()
    trainer._step(images, labels)
    ended = _age()
    imported = float(subprocess.check_output([sys.executable, "-c", _IMPORT], text=True))
    apart = _SEEN["data check"]
    # Two are built: the one that learns, and the one that follows it.
    built = _SEEN["build"] / 2
    figures = {
        "import TensorFlow": imported,
        "build the network": built,
        "to the first step, without the data check": begun - apart,
        "ratio": (begun - apart) / (imported + built),
        "the first step itself": ended - begun,
        "data check": apart,
    }
    print(json.dumps(figures), flush=True)
    os._exit(0)


def _watching(call: Callable[..., Any]) -> Callable[..., Any]:
    """Watch training as well, which is imported by now; this process ends with it."""

    def watching(*arguments: Any) -> Any:
        from brain_tumor.training import fit, learn, network

        patch.object(learn, "build_network", _timed("build", network.build_network)).start()
        patch.object(fit.Trainer, "train_step", _end_after_the_first_step).start()
        return call(*arguments)

    return watching


def train() -> None:
    """Train until the first step has been taken; called by sagemaker-training."""
    from brain_tumor.training import agreement, run

    with (
        patch.object(run, "_read_data", _timed("data check", run._read_data)),
        patch.object(run, "require_the_same", _watching(agreement.require_the_same)),
    ):
        run.main()


def main() -> None:
    """Start as `brain-tumor train` does."""
    from brain_tumor import cli
    from brain_tumor.training import launch

    os.environ["SAGEMAKER_BASE_DIR"] = sys.argv[1]
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    with patch.object(launch, "_MODULE", "benchmarks.first_step:train"):
        cli.main(["train"])


if __name__ == "__main__":
    main()
