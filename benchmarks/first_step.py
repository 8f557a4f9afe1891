"""How long a job takes to its first step: run by `benchmarks.training first-step`.

It trains as `train` does, in a process of its own, ends it after the first step, and prints one
line of JSON, seconds since the process began. The least is importing TensorFlow and building the
network; the data check is counted apart.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

_SEEN: dict[str, float] = {}


def _age() -> float:
    """Seconds since this process began (proc(5))."""
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
    apart = _SEEN["data check"]
    least = _SEEN["import TensorFlow"] + _SEEN["build"] / 2
    figures = {
        "import TensorFlow": _SEEN["import TensorFlow"],
        "build the network": _SEEN["build"] / 2,
        "to the first step, without the data check": begun - apart,
        "ratio": (begun - apart) / least,
        "the first step itself": ended - begun,
        "data check": apart,
    }
    print(json.dumps(figures), flush=True)
    os._exit(0)


def main() -> None:
    """Train until the first step has been taken."""
    parts, backbone = Path(sys.argv[1]), sys.argv[2]
    from brain_tumor.training import run

    before = _age()
    import tensorflow  # noqa: F401 - it is the import that is timed

    _SEEN["import TensorFlow"] = _age() - before
    from brain_tumor.training import channels, cluster, fit, learn, network

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "train"
        data.mkdir()
        (data / "Train.zip").symlink_to((parts / "Train.zip").resolve())
        job = run.Job(
            hyperparameters={"backbone": backbone},
            channels={"train": data},
            input_data={},
            model_dir=folder / "model",
            output_dir=folder / "output",
            hosts=cluster.read_hosts({"current_host": "algo-1", "hosts": ["algo-1"]}),
            end=lambda cause: sys.exit(cause),
        )
        with (
            patch.object(run, "read_channels", _timed("data check", channels.read_channels)),
            patch.object(learn, "build_network", _timed("build", network.build_network)),
            patch.object(fit.Trainer, "train_step", _end_after_the_first_step),
        ):
            run.train(job, lambda: False)


if __name__ == "__main__":
    main()
