"""training.hyperparameter_schema: what each hyperparameter may be, for people and programs."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import validate_parameters

from brain_tumor.training.hyperparameter_parsing import parse_hyperparameters
from brain_tumor.training.hyperparameter_schema import flat_schema, wanted
from brain_tumor.training.hyperparameters import Hyperparameters
from brain_tumor.training.metrics import METRIC_DEFINITIONS
from tests.jobs import ROOT

PROPERTIES = flat_schema(Hyperparameters)["properties"]
TUNED = {name: field["tuning"] for name, field in PROPERTIES.items() if "tuning" in field}
KINDS = {
    "integer": "IntegerParameterRanges",
    "number": "ContinuousParameterRanges",
    "string": "CategoricalParameterRanges",
    "boolean": "CategoricalParameterRanges",
}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("epochs", "a whole number from 1 to 10000"),
        ("patience", "a whole number at least 1"),
        ("seed", "a whole number from 0 to 4294967295"),
        ("learning-rate", "a number above 0 and at most 1"),
        ("dropout", "a number at least 0 and below 1"),
        ("time-budget-minutes", "a number above 0"),
        ("validation-share", "a number above 0 and below 0.9"),
        ("augment", "true or false"),
        ("pretrained", "true or false"),
        (
            "backbone",
            "one of lite0, small, efficientnetv2-b0, efficientnetv2-s, convnext-tiny",
        ),
    ],
)
def test_what_is_wanted_is_said_with_its_range(name: str, sentence: str) -> None:
    assert wanted(PROPERTIES[name]) == sentence


def test_every_hyperparameter_has_a_plain_type_a_default_and_a_sentence() -> None:
    assert set(PROPERTIES) == {name.replace("_", "-") for name in Hyperparameters.model_fields}
    for field in PROPERTIES.values():
        assert field["type"] in KINDS
        assert "default" in field
        assert field["description"].endswith(".")


def _parameter_ranges(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Run the program that docs/training.md shows."""
    page = (ROOT / "docs" / "training.md").read_text()
    (program,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "ranges = {}" in block
    )
    (folder / "hyperparameters.json").write_text(json.dumps(flat_schema(Hyperparameters)))
    done = subprocess.run(
        [sys.executable, "-c", f"{program}print(json.dumps(ranges))"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    ranges: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return ranges


def test_the_schema_is_enough_for_the_ranges_of_a_tuning_job(tmp_path: Path) -> None:
    ranges = _parameter_ranges(tmp_path)
    assert set(ranges) == set(KINDS.values())
    job = {
        "HyperParameterTuningJobName": "brain-tumor",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "val_accuracy"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 10, "MaxParallelTrainingJobs": 2},
            "ParameterRanges": ranges,
            "TrainingJobEarlyStoppingType": "Auto",
        },
        "TrainingJobDefinition": {
            "AlgorithmSpecification": {
                "TrainingImage": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/brain-tumor:1",
                "TrainingInputMode": "File",
                "MetricDefinitions": METRIC_DEFINITIONS,
            },
            "RoleArn": "arn:aws:iam::123456789012:role/sagemaker",
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "ResourceConfig": {
                "InstanceType": "ml.m5.xlarge",
                "InstanceCount": 1,
                "VolumeSizeInGB": 30,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        },
    }
    sagemaker = Session().get_service_model("sagemaker")
    # Raises where a name, a type or a length is not what CreateHyperParameterTuningJob takes.
    shape = sagemaker.operation_model("CreateHyperParameterTuningJob").input_shape
    validate_parameters(job, shape)
    scaling = sagemaker.shape_for("HyperParameterScalingType").enum
    for kind in ("IntegerParameterRanges", "ContinuousParameterRanges"):
        for each in ranges[kind]:
            assert each["ScalingType"] in scaling
            assert 0 <= float(each["MinValue"]) < float(each["MaxValue"])
            assert each["ScalingType"] == "Linear" or float(each["MinValue"]) > 0


@pytest.mark.parametrize("name", TUNED)
def test_every_value_that_a_tuner_may_choose_is_taken_as_the_string_it_comes_as(name: str) -> None:
    tuning = TUNED[name]
    values = tuning.get("Values") or [tuning["MinValue"], tuning["MaxValue"]]
    for value in values:
        # As it is for ranges; quoted for a categorical one of SDK 2.
        for written in (value, f'"{value}"'):
            parsed = parse_hyperparameters({name: written, "_tuning_objective_metric": "val_loss"})
            read = getattr(parsed, name.replace("-", "_"))
            if "Values" in tuning:
                assert str(read).lower() == value
            else:
                assert read == float(value)
