"""What CreateTrainingJob would refuse, and what follows from a specification."""

from pathlib import Path
from typing import Any

import pytest

from local_test.emulator.channels import Channel
from local_test.emulator.errors import EmulatorError
from local_test.emulator.specification import TrainingJob, parse_pairs


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": "-job"}, "is no name for a training job"),
        ({"name": "j" * 64}, "is no name for a training job"),
        ({"hyperparameters": {f"k{n}": "" for n in range(101)}}, "101 hyperparameters"),
        ({"hyperparameters": {"k" * 257: ""}}, "256 and 2500"),
        ({"environment": {"K": "v" * 513}}, "512 and 512"),
        ({"entrypoint": ("word",) * 101}, "101 words"),
        ({"max_runtime": 0}, "MaxRuntimeInSeconds"),
        (
            {"channels": (Channel("a", Path()), Channel("b", Path(), mode="Pipe"))},
            "one input mode",
        ),
    ],
)
def test_what_the_platform_would_refuse_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(EmulatorError, match=reason):
        TrainingJob(**{"name": "job", "image": "image", **fields})


def test_hosts_are_sorted_as_text_as_on_the_platform() -> None:
    hosts = TrainingJob(name="job", image="image", instance_count=11).hosts
    assert hosts[:4] == ["algo-1", "algo-10", "algo-11", "algo-2"]


@pytest.mark.parametrize(
    ("entrypoint", "arguments", "command"),
    [
        ((), (), ("train",)),
        # With an entrypoint alone the word `train` is not passed.
        (("run.sh",), (), ()),
        ((), ("fit", "now"), ("fit", "now")),
        (("run.sh",), ("now",), ("now",)),
    ],
)
def test_entrypoint_and_arguments_replace_train(
    entrypoint: tuple[str, ...], arguments: tuple[str, ...], command: tuple[str, ...]
) -> None:
    job = TrainingJob(name="job", image="image", entrypoint=entrypoint, arguments=arguments)
    assert job.command == command


def test_a_value_may_hold_an_equals_sign_and_may_be_empty() -> None:
    assert parse_pairs(["a=b=c", "d=", "a=e"], "-s") == {"a": "e", "d": ""}
