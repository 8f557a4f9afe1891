"""The description of a job, held to the shape that botocore has for the platform's answer."""

from pathlib import Path

import pytest

from local_test.emulator.channels import Channel
from local_test.emulator.describe import describe
from local_test.emulator.metrics import MetricDefinition
from local_test.emulator.record import Record
from local_test.emulator.specification import TrainingJob
from tests.emulator.shapes import assert_answer


def _record(tmp_path: Path, *statuses: str) -> Record:
    job = TrainingJob(
        name="a-job",
        image="image:1",
        channels=(Channel("train", tmp_path, content_type="image/png", sharded=True),),
        hyperparameters={"epochs": "3"},
        environment={"MINE": "yes"},
        metric_definitions=(MetricDefinition("loss", "loss=(.*)"),),
        entrypoint=("train.sh",),
        arguments=("now",),
        instance_count=2,
        checkpoints=tmp_path,
        spot_kill_after=1,
    )
    record = Record(job, lambda status, message: None)
    for status in statuses:
        record.enter(status)
    return record


@pytest.mark.parametrize(
    ("statuses", "status"),
    [
        (["Downloading", "Training", "Uploading", "Completed"], "Completed"),
        (["Downloading", "Training", "Stopping", "Uploading", "Stopped"], "Stopped"),
        (["Downloading", "Training", "Interrupted", "Starting"], "InProgress"),
        (["Downloading", "Training", "Stopping", "Uploading", "MaxRuntimeExceeded"], "Stopped"),
        (["Downloading", "Training", "Uploading", "Failed"], "Failed"),
    ],
)
def test_the_description_has_the_platforms_own_shape(
    tmp_path: Path, statuses: list[str], status: str
) -> None:
    record = _record(tmp_path, *statuses)
    record.failure = "why" if status == "Failed" else None
    record.metrics["loss"] = (0.5, record.transitions[0].start)
    described = describe(record)
    assert described["TrainingJobStatus"] == status
    assert_answer("DescribeTrainingJob", described)


def test_each_status_ends_where_the_next_one_begins(tmp_path: Path) -> None:
    record = _record(tmp_path, "Downloading", "Training", "Uploading", "Completed")
    transitions = describe(record)["SecondaryStatusTransitions"]
    assert [t["EndTime"] for t in transitions[:-1]] == [t["StartTime"] for t in transitions[1:]]
    assert transitions[-1]["StartTime"] == transitions[-1]["EndTime"]
