"""`register` against moto: figures, model card, and what the registry is told of the container."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from deploy import model_card
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed
from tests.deploy.hosted import train

GROUP = "brain-tumor-models"

_TEXT = {"type": "string", "maxLength": 2048}
_METRIC = {
    "type": "object",
    "required": ["name", "type", "value"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "maxLength": 255},
        "type": {"enum": ["number", "matrix"]},
        "notes": {"type": "string", "maxLength": 1024},
        "value": {"type": ["number", "array"]},
        "x_axis_name": {"type": "array", "items": {"type": "string", "maxLength": 63}},
        "y_axis_name": {"type": "array", "items": {"type": "string", "maxLength": 63}},
    },
}


def _texts(*names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _TEXT for name in names},
    }


# The parts of "Model package model card schema" (AWS's guide, View model version details) that
# the card uses, with their limits.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "model_overview": {
            "additionalProperties": False,
            "properties": {"model_artifact": {"type": "array", "items": {"maxLength": 1024}}},
        },
        "intended_uses": _texts(
            "purpose_of_model", "intended_uses", "risk_rating", "explanations_for_risk_rating"
        ),
        "evaluation_details": {
            "type": "array",
            "items": {
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "maxLength": 63},
                    "evaluation_observation": _TEXT,
                    "metric_groups": {
                        "items": {
                            "required": ["name", "metric_data"],
                            "properties": {"metric_data": {"type": "array", "items": _METRIC}},
                        }
                    },
                },
            },
        },
        "additional_information": {
            "additionalProperties": False,
            "properties": {
                "caveats_and_recommendations": _TEXT,
                "ethical_considerations": _TEXT,
                "custom_details": {"additionalProperties": {"maxLength": 1024}},
            },
        },
    },
}


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    """Give a folder as `train` brings it home."""
    folder = tmp_path / "brain-tumor-1"
    folder.mkdir()
    (folder / "model").symlink_to(trained / "model")
    (folder / "output").symlink_to(trained / "output" / "data")
    return folder


def _evaluation(folder: Path) -> dict[str, Any]:
    evaluation: dict[str, Any] = json.loads((folder / "output/evaluation.json").read_text())
    return evaluation


def test_a_version_has_the_figures_the_image_and_the_model(account: str, home: Path) -> None:
    succeed("setup", "--yes")
    image = loopback.push_image()
    printed = succeed("register", home, "--yes")
    sagemaker = loopback.client("sagemaker")
    (version,) = sagemaker.list_model_packages(ModelPackageGroupName=GROUP)[
        "ModelPackageSummaryList"
    ]
    assert version["ModelPackageArn"] in printed
    package = sagemaker.describe_model_package(ModelPackageName=version["ModelPackageArn"])
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["Image"] == image
    assert container["ModelDataUrl"].startswith(f"s3://{loopback.BUCKET}/models/")
    uri = package["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"]
    stored = loopback.client("s3").get_object(
        Bucket=loopback.BUCKET, Key=uri.removeprefix(f"s3://{loopback.BUCKET}/")
    )
    assert json.load(stored["Body"]) == _evaluation(home)
    refused = deploy("endpoint", "--yes", "--model", version["ModelPackageArn"])
    assert "--model-approval-status Approved" in refused.output
    # The next one is version 2 of the same group, and `delete` takes both.
    printed = succeed("register", home, "--yes", "--status", "Approved")
    assert "/2 (Approved)" in printed
    succeed("endpoint", "--yes", "--model", printed.split()[-1])
    succeed("delete", "--yes", "--with-user")
    assert loopback.all_names() == []


def test_the_card_is_in_sagemakers_form_with_every_interval(home: Path) -> None:
    text = (home / "output/MODEL_CARD.md").read_text()
    evaluation = _evaluation(home)
    card = model_card.make(text, evaluation, "s3://b/model.tar.gz", "s3://b/MODEL_CARD.md")
    jsonschema.validate(card, SCHEMA)
    assert len(json.dumps(card)) < 100_000
    assert "Not a medical device" in card["intended_uses"]["intended_uses"]
    assert "no axial" in card["intended_uses"]["purpose_of_model"]
    assert card["additional_information"]["caveats_and_recommendations"]
    figures, confusion = card["evaluation_details"][0]["metric_groups"]
    accuracy = next(item for item in figures["metric_data"] if item["name"] == "accuracy")
    wanted = evaluation["multiclass_classification_metrics"]["accuracy"]
    assert accuracy["value"] == wanted["value"]
    assert accuracy["notes"].startswith("95 % interval: ")
    (matrix,) = confusion["metric_data"]
    total = sum(sum(row) for row in matrix["value"])
    assert total == evaluation["dataset"]["item_count"]


def test_the_card_goes_with_the_version(account: str, home: Path) -> None:
    printed = succeed(
        "register", home, "--dry-run", "--model", f"s3://{loopback.BUCKET}/model.tar.gz"
    )
    (request,) = loopback.parameters(printed, "sagemaker:CreateModelPackage")
    card = json.loads(request["ModelCard"]["ModelCardContent"])
    assert card["model_overview"]["model_artifact"] == [f"s3://{loopback.BUCKET}/model.tar.gz"]
    # A version has the tags of its group; AWS refuses others.
    assert "Tags" not in request


@pytest.mark.parametrize("name", ["ml", "test_dir", "brain-tumor-test_dir", "brain-tumor"])
def test_no_job_is_asked_for_by_the_name_of_a_folder_that_no_job_of_the_project_can_have(
    account: str, home: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # AWS answers some of these by an error that does not say "not found", others by AccessDenied.
    folder = home.rename(home.with_name(name))
    assert "sagemaker:DescribeTrainingJob" not in succeed("register", folder, "--dry-run")
    monkeypatch.chdir(folder)
    printed = succeed("register", ".", "--dry-run")
    assert "sagemaker:DescribeTrainingJob" not in printed
    (request,) = loopback.parameters(printed, "sagemaker:CreateModelPackage")
    (container,) = request["InferenceSpecification"]["Containers"]
    assert "/models/" in container["ModelDataUrl"]


def test_the_folder_of_a_job_is_known_from_within_too(
    account: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    printed = succeed("register", ".", "--dry-run")
    (asked,) = loopback.parameters(printed, "sagemaker:DescribeTrainingJob")
    assert asked == {"TrainingJobName": "brain-tumor-1"}


def test_a_job_is_registered_with_the_image_that_trained_it(account: str, home: Path) -> None:
    succeed("setup", "--yes")
    train("brain-tumor-1", "trained-by")
    loopback.push_image()
    printed = succeed("register", home, "--yes")
    assert "/brain-tumor-1/output/model.tar.gz, served by trained-by\n" in printed
    (version,) = loopback.client("sagemaker").list_model_packages(ModelPackageGroupName=GROUP)[
        "ModelPackageSummaryList"
    ]
    package = loopback.client("sagemaker").describe_model_package(
        ModelPackageName=version["ModelPackageArn"]
    )
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["Image"] == "trained-by"


def test_a_version_of_the_registry_is_not_registered_again(account: str, home: Path) -> None:
    succeed("setup", "--yes")
    arn = "arn:aws:sagemaker:eu-central-1:123456789012:model-package/brain-tumor-models/1"
    result = deploy("register", home, "--model", arn, "--yes")
    assert result.exit_code == 1
    assert f"{arn} is in the registry already" in result.output
    assert "Contents" not in loopback.client("s3").list_objects_v2(Bucket=loopback.BUCKET)


def test_a_folder_without_reports_is_refused(account: str, tmp_path: Path) -> None:
    result = deploy("register", tmp_path)
    assert result.exit_code == 1
    assert "holds no output/evaluation.json" in result.output


def test_a_group_that_sagemaker_would_not_take_is_refused_before_anything_goes_up(
    account: str, home: Path
) -> None:
    succeed("setup", "--yes")
    result = deploy("register", home, "--yes", "--group", "brain-tumor-a_b")
    assert result.exit_code == 1
    assert "The name brain-tumor-a_b does not do" in result.output
    assert "Contents" not in loopback.client("s3").list_objects_v2(Bucket=loopback.BUCKET)
