"""Training in float32 and with mixed precision: what a step costs, and what is learnt.

    python -m benchmarks.precision steps [-s backbone=small -s image-size=96 ...]
    python -m benchmarks.precision seeds TRAIN.zip VAL.zip [--seeds 3] [-s backbone=small ...]

`steps` takes training steps of both in turn on one batch in memory, and prints medians of the
processor time. `seeds` trains with each on the same scans, seed by seed, and prints what the
network that is kept gets right of val; no test scan is looked at. `-s` sets a hyperparameter.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np

from brain_tumor.training.channels import Channels, read_channels
from brain_tumor.training.fit import Trainer
from brain_tumor.training.hyperparameter_parsing import parse_hyperparameters
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.learn import train_network
from brain_tumor.training.network import build_network, set_pretrained_weights
from brain_tumor.training.precision import BFLOAT16, FLOAT32, Precision
from brain_tumor.training.strategy import WHOLE
from brain_tumor.training.trials import Trial, any_batch

_KINDS = {Precision(FLOAT32): "false", Precision(BFLOAT16): "true"}
"""Each with its value of the hyperparameter `mixed-precision`."""

_CLASSES = 4


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["steps", "seeds"])
    parser.add_argument("archives", type=Path, nargs="*", metavar="TRAIN.zip VAL.zip")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="key=value")
    arguments = parser.parse_args()
    settings = dict(setting.split("=", 1) for setting in arguments.settings)
    if arguments.what == "steps":
        _compare_steps(parse_hyperparameters(settings), arguments.steps)
    else:
        _compare_seeds(_read(arguments.archives, settings), settings, arguments.seeds)


def _compare_steps(parameters: Hyperparameters, steps: int) -> None:
    batch = any_batch(parameters, WHOLE)
    trials = [Trial(each, _trainer(parameters, each), batch) for each in _KINDS]
    for _ in range(steps):
        for trial in trials:
            trial.take_step()
    plain = trials[0].step_seconds
    print("| computed in | processor time of an image, ms | times as fast |\n|" + "---|" * 3)
    for trial in trials:
        ms = 1000 * trial.step_seconds / parameters.batch_size
        print(f"| {trial.precision} | {ms:.2f} | {plain / trial.step_seconds:.2f} |")


def _trainer(parameters: Hyperparameters, precision: Precision) -> Trainer:
    averaged = build_network(parameters, _CLASSES)
    keras.mixed_precision.set_global_policy(precision.policy)
    network = build_network(parameters, _CLASSES)
    keras.mixed_precision.set_global_policy(FLOAT32)
    set_pretrained_weights(network, parameters, None)
    return Trainer(network, averaged, parameters)


def _read(archives: list[Path], settings: dict[str, str]) -> Channels:
    with TemporaryDirectory() as name:
        folders = {}
        for channel, archive in zip(("train", "val"), archives, strict=True):
            folders[channel] = Path(name) / channel
            folders[channel].mkdir()
            (folders[channel] / archive.name).symlink_to(archive.resolve())
        return read_channels(folders, parse_hyperparameters(settings))


def _compare_seeds(channels: Channels, settings: dict[str, str], seeds: int) -> None:
    print("| seed | type | val right, % | log loss | minutes |\n|" + "---|" * 5, flush=True)
    right: dict[Precision, list[float]] = {kind: [] for kind in _KINDS}
    for seed in range(seeds):
        for kind, mixed in _KINDS.items():
            given = {**settings, "seed": str(seed), "mixed-precision": mixed}
            _, training = train_network(channels, parse_hyperparameters(given), lambda: False)
            scores, minutes = training.validation, sum(e.seconds for e in training.epochs) / 60
            right[kind].append(100 * scores.accuracy)
            print(
                f"| {seed} | {kind} | {right[kind][-1]:.1f} | {scores.loss:.3f} | {minutes:.1f} |",
                flush=True,
            )
    for kind, shares in right.items():
        spread = np.std(shares, ddof=1)
        print(f"| all | {kind} | {np.mean(shares):.2f} +- {spread:.2f} | | |")


if __name__ == "__main__":
    main()
