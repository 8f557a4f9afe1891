"""`tune` against moto: ranges of the image, or given ones; never the test channel."""

from pathlib import Path
from typing import Any

import pytest

from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed

IMAGE = f"{loopback.ACCOUNT}.dkr.ecr.{loopback.REGION}.amazonaws.com/brain-tumor:v1"
NAME = "brain-tumor-t"


@pytest.fixture
def ready(account: str, prepared: Path, answers: list[str]) -> list[object]:
    """Give the options of a tuning job in an account with bucket, role and scans."""
    succeed("setup", "--yes")
    succeed("upload", prepared, "--yes")
    return ["tune", "--yes", "--name", NAME, "--image", IMAGE, *answers]


def _described() -> dict[str, Any]:
    client = loopback.client("sagemaker")
    job: dict[str, Any] = client.describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=NAME
    )
    return job


def test_the_images_ranges_are_searched_for_the_best_validation_accuracy(
    ready: list[object],
) -> None:
    succeed(*ready, "--jobs", 4, "--tune", "learning-rate", "--tune", "backbone", "-s", "epochs=9")
    job = _described()
    config = job["HyperParameterTuningJobConfig"]
    objective = config["HyperParameterTuningJobObjective"]
    assert objective == {"Type": "Maximize", "MetricName": "val_accuracy"}
    assert config["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 4
    ranges = config["ParameterRanges"]
    (rate,) = ranges["ContinuousParameterRanges"]
    assert rate["Name"] == "learning-rate"
    assert rate["ScalingType"] == "Logarithmic"
    (backbone,) = ranges["CategoricalParameterRanges"]
    assert backbone["Values"] == ["lite0", "small"]
    definition = job["TrainingJobDefinition"]
    assert definition["StaticHyperParameters"]["epochs"] == "9"
    inputs = [item["ChannelName"] for item in definition["InputDataConfig"]]
    assert inputs == ["train", "val"]
    assert f"tuning job           {NAME}" in succeed("status")


def test_a_range_can_be_given(ready: list[object]) -> None:
    succeed(*ready, "--range", "batch-size=16:64", "--range", "backbone=lite0,small")
    ranges = _described()["HyperParameterTuningJobConfig"]["ParameterRanges"]
    (size,) = ranges["IntegerParameterRanges"]
    assert (size["MinValue"], size["MaxValue"]) == ("16", "64")
    (backbone,) = ranges["CategoricalParameterRanges"]
    assert backbone["Values"] == ["lite0", "small"]


def test_what_is_fixed_is_not_among_those_that_are_tuned_by_default(ready: list[object]) -> None:
    succeed(*ready, "-s", "dropout=0.1")
    ranges = _described()["HyperParameterTuningJobConfig"]["ParameterRanges"]
    names = {item["Name"] for item in ranges["ContinuousParameterRanges"]}
    assert names == {"learning-rate", "weight-decay"}


def test_what_machines_cost_between_its_jobs_is_told(ready: list[object]) -> None:
    asked = [word for word in ready if word != "--yes"]
    result = deploy(*asked, "--jobs", 4, "--keep-alive", 30, answer="n\n")
    assert "4 jobs of at most 60 minutes" in result.output
    assert "at most 1.38 USD in 6 hours" in result.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tune", "seed"], "proposes no range for seed"),
        (["--tune", "sede"], "did you mean seed?"),
        (["--range", "dropout=0:2"], "wanted less than 1"),
        (["--range", "dropout"], "wanted name=value"),
        (["--tune", "dropout", "-s", "dropout=0.1"], "dropout is fixed by -s, so it cannot be"),
        (["--range", "batch-size=8:16", "-s", "batch_size=8"], "batch-size is fixed by -s"),
    ],
)
def test_a_range_that_cannot_be_searched_is_refused(
    account: str, answers: list[str], options: list[str], told: str
) -> None:
    result = deploy("tune", "--yes", *answers, *options)
    assert result.exit_code != 0
    assert told in result.output


def test_a_name_is_the_projects_and_has_at_most_32_characters(
    account: str, answers: list[str]
) -> None:
    given = ["tune", "--dry-run", "--image", "i", *answers]
    assert "does not begin with brain-tumor-" in deploy(*given, "--name", "mine").output
    assert "at most 32" in deploy(*given, "--name", "brain-tumor-" + 21 * "a").output
    # With the time it would be too long; cut, `status` and `delete` would not find it.
    project = 5 * "long-" + "er"
    told = deploy(*given, "--project", project).output
    assert "at most 32 in all, of which 28 are the project's" in told
    printed = succeed(*given, "--project", project, "--name", f"{project}-1")
    call = "sagemaker:CreateHyperParameterTuningJob"
    (request,) = loopback.parameters(printed, call)
    assert request["HyperParameterTuningJobName"] == f"{project}-1"
