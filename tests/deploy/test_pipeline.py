"""`pipeline`: a definition whose steps are requests that AWS takes, and commands that work."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from deploy import places, sources, tags
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed
from tests.jobs import BIN

NAME = "brain-tumor-pipeline"
ARCHIVE = f"s3://{loopback.BUCKET}/archives/scans.zip"
_STEP = {
    "type": "object",
    "required": ["Name", "Type", "Arguments"],
    "additionalProperties": False,
    "properties": {
        "Name": {"type": "string", "pattern": "^[A-Za-z0-9\\-_]{1,64}$"},
        "Type": {"enum": ["Processing", "Training", "Condition", "RegisterModel"]},
        "Arguments": {"type": "object"},
        "PropertyFiles": {
            "type": "array",
            "items": {"required": ["PropertyFileName", "OutputName", "FilePath"]},
        },
    },
}
# The shape that AWS publishes (sagemaker-model-building-pipeline-definition-JSON-schema), as far
# as this definition goes; property files, which that schema lacks, as the SDK writes them.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["Version", "Steps"],
    "additionalProperties": False,
    "properties": {
        "Version": {"const": "2020-12-01"},
        "Parameters": {
            "type": "array",
            "items": {
                "required": ["Name", "Type", "DefaultValue"],
                "additionalProperties": False,
                "properties": {
                    "Name": {"type": "string", "pattern": "^[A-Za-z0-9\\-_]+$"},
                    "Type": {"enum": ["String", "Integer", "Float", "Boolean"]},
                    "DefaultValue": {},
                },
            },
        },
        "Steps": {"type": "array", "items": _STEP},
    },
}
CALLS = {
    "Processing": "CreateProcessingJob",
    "Training": "CreateTrainingJob",
    "RegisterModel": "CreateModelPackage",
}


@pytest.fixture
def ready(account: str) -> str:
    """Give the URI of the image in an account with bucket and role."""
    succeed("setup", "--yes")
    return loopback.push_image()


def _definition(*options: object) -> dict[str, Any]:
    printed = succeed("pipeline", ARCHIVE, "--print", *options)
    definition: dict[str, Any] = json.loads(printed)
    return definition


def _steps(definition: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give all steps by their names, those of the condition too."""
    steps = {step["Name"]: step for step in definition["Steps"]}
    for step in definition["Steps"]:
        if step["Type"] == "Condition":
            jsonschema.validate(step["Arguments"]["IfSteps"], {"items": _STEP})
            steps |= {inner["Name"]: inner for inner in step["Arguments"]["IfSteps"]}
    return steps


def _resolve(value: Any) -> Any:
    """Put a value where the platform would: what `Get` and `Std:Join` give are strings."""
    if isinstance(value, dict):
        if value.keys() & {"Get", "Std:Join"}:
            return "ml.m5.xlarge" if value.get("Get", "").endswith("InstanceType") else "s3://b/k"
        return {name: _resolve(inner) for name, inner in value.items()}
    return [_resolve(inner) for inner in value] if isinstance(value, list) else value


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["Get"]] if isinstance(value.get("Get"), str) else []
        return own + [found for inner in value.values() for found in _references(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _references(inner)]
    return []


def test_the_definition_has_the_published_shape(ready: str) -> None:
    jsonschema.validate(_definition("-s", "epochs=2"), SCHEMA)


def test_the_arguments_of_every_step_are_a_request_that_botocore_takes(ready: str) -> None:
    model = get_session().get_service_model("sagemaker")
    steps = _steps(_definition("-s", "epochs=2"))
    checked = 0
    for step in steps.values():
        if step["Type"] in CALLS:
            shape = model.operation_model(CALLS[step["Type"]]).input_shape
            report = ParamValidator().validate(_resolve(step["Arguments"]), shape)
            assert not report.has_errors(), report.generate_report()
            checked += 1
    assert checked == 4


def test_the_pipelines_training_job_is_told_from_one_of_train(ready: str) -> None:
    # `endpoint` takes no model by itself that may have failed the condition.
    assert tags.OF_PIPELINE in _steps(_definition())["Train"]["Arguments"]["Tags"]


def test_every_reference_leads_to_a_parameter_or_an_output_of_an_earlier_step(ready: str) -> None:
    definition = _definition()
    steps = _steps(definition)
    outputs = {
        f"Steps.{name}.ProcessingOutputConfig.Outputs['{output['OutputName']}'].S3Output.S3Uri"
        for name, step in steps.items()
        for output in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])
    }
    known = outputs | {f"Parameters.{item['Name']}" for item in definition["Parameters"]}
    known |= {
        "Execution.PipelineExecutionId",
        "Steps.Train.ModelArtifacts.S3ModelArtifacts",
        "Steps.Evaluate.PropertyFiles.Evaluation",
    }
    assert set(_references(definition)) == known


def test_only_the_lower_end_of_the_accuracys_interval_lets_a_model_in(
    ready: str, trained: Path
) -> None:
    definition = _definition("--least-accuracy", 0.9)
    (condition,) = _steps(definition)["GoodEnough"]["Arguments"]["Conditions"]
    assert condition["Type"] == "GreaterThanOrEqualTo"
    figure = json.loads((trained / "output/data/evaluation.json").read_text())
    for key in condition["LeftValue"]["Std:JsonGet"]["Path"].split("."):
        figure = figure[key]
    assert 0 <= figure <= 1
    defaults = {item["Name"]: item["DefaultValue"] for item in definition["Parameters"]}
    assert defaults["LeastAccuracy"] == 0.9


def _run(step: dict[str, Any], root: Path, path: str) -> None:
    """Run the command of a processing step, with `root` for /opt/ml/processing."""
    application = step["Arguments"]["AppSpecification"]
    words = application["ContainerEntrypoint"] + application["ContainerArguments"]
    done = subprocess.run(
        [word.replace("/opt/ml/processing", str(root)) for word in words],
        env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_the_steps_commands_leave_what_the_next_step_takes(
    ready: str, phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    steps = _steps(_definition())
    for folder in ("archive", "model", "test"):
        (tmp_path / folder).mkdir()
    shutil.copy(phantoms, tmp_path / "archive" / "scans.zip")
    _run(steps["Prepare"], tmp_path, str(BIN))
    shutil.copy(tmp_path / "prepared" / "Test.zip", tmp_path / "test")
    sources.pack(trained / "model", tmp_path / "model" / "model.tar.gz")
    evaluates = BIN
    if not os.environ.get("BRAIN_TUMOR_LONG_TESTS"):
        # Sees what it is given; the real one takes ten seconds.
        evaluates = tmp_path / "bin"
        evaluates.mkdir()
        stand_in = 'test -f "$2/model.json" -a -f "$3/Test.zip" && mkdir "$4"'
        (evaluates / "brain-tumor").write_text(
            f'#!/bin/bash\n{stand_in} && echo "{{\\"$1\\": 1}}" > "$4/evaluation.json"\n'
        )
        (evaluates / "brain-tumor").chmod(0o755)
    _run(steps["Evaluate"], tmp_path, str(evaluates))
    (held,) = steps["Evaluate"]["PropertyFiles"]
    assert json.loads((tmp_path / held["OutputName"] / held["FilePath"]).read_text())


def test_it_is_made_once_updated_later_and_started(
    ready: str, phantoms: Path, answers: list[str]
) -> None:
    printed = succeed("pipeline", phantoms, "--yes")
    assert f"made {NAME}" in printed
    assert f"pipeline/{NAME}/execution/" in printed
    printed = succeed("pipeline", phantoms, "--yes", "--no-start", "-s", "epochs=3", *answers[2:])
    assert f"updated {NAME}" in printed
    sagemaker = loopback.client("sagemaker")
    made = sagemaker.describe_pipeline(PipelineName=NAME)
    train = _steps(json.loads(made["PipelineDefinition"]))["Train"]["Arguments"]
    assert train["HyperParameters"] == {"epochs": "3"}
    (run,) = sagemaker.list_pipeline_executions(PipelineName=NAME)["PipelineExecutionSummaries"]
    assert run["PipelineExecutionStatus"]
    stored = loopback.client("s3").head_object(
        Bucket=loopback.BUCKET, Key=f"archives/{phantoms.name}"
    )
    assert stored["ContentLength"] == phantoms.stat().st_size


def test_the_steps_beside_training_are_in_what_it_costs(ready: str) -> None:
    result = deploy("pipeline", ARCHIVE, answer="n\n")
    assert "Training: 1 x ml.m5.xlarge: about 0.23 USD an hour, at most 0.23 USD" in result.output
    assert "Preparing and evaluating: 1 x ml.m5.xlarge: about 0.23 USD" in result.output
    assert "at most 0.92 USD in 4 hours" in result.output


def test_a_hyperparameter_that_the_image_would_refuse_is_refused_before_it_costs(
    ready: str, answers: list[str]
) -> None:
    result = deploy("pipeline", ARCHIVE, "--yes", "-s", "epoch=3", *answers[2:])
    assert result.exit_code == 1
    assert "'epoch': did you mean epochs?" in result.output
    assert NAME not in loopback.all_names()


def test_jobs_have_names_that_the_policies_allow_and_that_leave_room_for_the_platforms(
    ready: str,
) -> None:
    project = "a" + 29 * "b"
    printed = succeed(
        "pipeline",
        "--print",
        "--dry-run",
        ARCHIVE.replace("brain-tumor", project),
        "--project",
        project,
        "--image",
        "i",
    )
    steps = _steps(json.loads(printed[printed.index('{\n  "Version"') :]))
    named = [
        value
        for step in steps.values()
        for key, value in step["Arguments"].items()
        if key.endswith("JobName")
    ]
    assert len(named) == 3
    for name in named:
        assert name.startswith(f"{project}-")
        # What SageMaker takes, to make <name>-<execution>-<token>-<failures> of it.
        assert len(name) <= 38


def test_scans_lie_where_they_are_forgotten_and_what_the_registry_names_does_not(
    ready: str,
) -> None:
    steps = _steps(_definition())
    for name, forgotten in (("Prepare", True), ("Evaluate", False)):
        (output,) = steps[name]["Arguments"]["ProcessingOutputConfig"]["Outputs"]
        top = output["S3Output"]["S3Uri"]["Std:Join"]["Values"][0]
        kept = f"{top.removeprefix(f's3://{loopback.BUCKET}/')}/".startswith(places.COPIES)
        assert kept is forgotten


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("--name", "brain-tumor-a_b"),
        ("--group", "brain-tumor-a_b"),
        ("--group", "brain-tumor-" + 52 * "a"),
    ],
)
def test_a_name_that_sagemaker_would_not_take_is_refused_before_anything_is_made(
    ready: str, option: str, name: str
) -> None:
    result = deploy("pipeline", ARCHIVE, "--yes", option, name)
    assert result.exit_code == 1
    assert f"The name {name} does not do" in result.output
    assert "brain-tumor-models" not in loopback.all_names()


def test_an_archive_that_is_not_there_is_refused(account: str, tmp_path: Path) -> None:
    result = deploy("pipeline", tmp_path / "scans.zip", "--image", "i", "--print")
    assert result.exit_code == 1
    assert "There is no file" in result.output
