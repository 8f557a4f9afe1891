"""The description of a job, held to the shape that botocore has for the platform's answer."""

import re
from pathlib import Path

import botocore.session
import pytest
from botocore.model import ListShape, Shape, StructureShape
from botocore.validate import ParamValidator

from local_test.emulator.channels import Channel
from local_test.emulator.describe import describe
from local_test.emulator.metrics import MetricDefinition
from local_test.emulator.record import Record
from local_test.emulator.specification import TrainingJob


@pytest.fixture(scope="module")
def answer() -> StructureShape:
    """Give the shape of DescribeTrainingJob's answer."""
    service = botocore.session.get_session().get_service_model("sagemaker")
    shape = service.operation_model("DescribeTrainingJob").output_shape
    assert isinstance(shape, StructureShape)
    return shape


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


def _check(value: object, shape: Shape, where: str) -> None:
    """Compare with what a shape says beyond types: enumerations and patterns."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for key, item in value.items():
            _check(item, shape.members[key], f"{where}.{key}")
    elif isinstance(shape, ListShape) and isinstance(value, list):
        for item in value:
            _check(item, shape.member, where)
    elif isinstance(value, str):
        allowed = shape.metadata.get("enum")
        assert not allowed or value in allowed, where
        assert re.fullmatch(shape.metadata.get("pattern", ".*"), value, re.DOTALL), where


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
    answer: StructureShape, tmp_path: Path, statuses: list[str], status: str
) -> None:
    record = _record(tmp_path, *statuses)
    record.failure = "why" if status == "Failed" else None
    record.metrics["loss"] = (0.5, record.transitions[0].start)
    described = describe(record)
    assert described["TrainingJobStatus"] == status
    report = ParamValidator().validate(described, answer)
    assert not report.has_errors(), report.generate_report()
    _check(described, answer, "")


def test_each_status_ends_where_the_next_one_begins(tmp_path: Path) -> None:
    record = _record(tmp_path, "Downloading", "Training", "Uploading", "Completed")
    transitions = describe(record)["SecondaryStatusTransitions"]
    assert [t["EndTime"] for t in transitions[:-1]] == [t["StartTime"] for t in transitions[1:]]
    assert transitions[-1]["StartTime"] == transitions[-1]["EndTime"]
