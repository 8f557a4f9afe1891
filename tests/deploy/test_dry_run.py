"""`--dry-run` prints the calls that a command would make; a server that refuses all hears none."""

import json
import re
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import ParamValidationError

from deploy import tags
from deploy.cli import COMMANDS
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed, use
from tests.jobs import ROOT

# What each command is given, and a call that it must print.
CALLS = {
    "iam": ([], "iam:CreateUser"),
    "setup": ([], "iam:CreateRole"),
    "upload": (["FOLDER"], "s3:PutObject"),
    "train": ([], "sagemaker:CreateTrainingJob"),
    "tune": (["--image", "i", "ANSWERS"], "sagemaker:CreateHyperParameterTuningJob"),
    "endpoint": (["--most-instances", "2"], "sagemaker:CreateEndpoint"),
    "predict": (["SCAN"], "sagemaker-runtime:InvokeEndpoint"),
    "transform": (["s3://brain-tumor-1-eu-central-1/scans/"], "sagemaker:CreateTransformJob"),
    "register": (["TRAINED"], "sagemaker:CreateModelPackage"),
    "pipeline": (["s3://brain-tumor-1-eu-central-1/scans.zip"], "sagemaker:CreatePipeline"),
    "cost": (["ml.m5.xlarge", "--live"], "pricing:GetProducts"),
    "status": ([], "sagemaker:ListEndpoints"),
    "delete": (["--with-user"], "s3:GetBucketTagging"),
}


@pytest.mark.parametrize("command", [str(command.name) for command in COMMANDS])
def test_a_dry_run_prints_calls_with_the_tag_of_all_they_would_make_and_makes_none(
    command: str,
    answers: list[str],
    prepared: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    given, call = CALLS[command]
    scan = str(ROOT / "local_test" / "payload.png")
    words = {
        "FOLDER": [str(prepared)],
        "TRAINED": [str(trained)],
        "ANSWERS": answers,
        "SCAN": [scan],
    }
    arguments = [word for argument in given for word in words.get(argument, [argument])]
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        printed = succeed(command, *arguments, "--dry-run")
    assert asked == []
    assert loopback.parameters(printed, call)
    assert _untagged(printed) == []
    assert not re.search(r"^(made|started|updated|removed|bucket|role|Next|arn:)", printed, re.M)
    assert list(tmp_path.iterdir()) == []


def _untagged(printed: str) -> list[str]:
    """Give the calls that make something which AWS would tag, and do not ask for the tag."""
    found = []
    session = botocore.session.get_session()
    for call in re.findall(r"would call ([\w-]+:(?:Create|Put|Register)\w+) ", printed):
        service, operation = call.split(":")
        model = session.get_service_model(loopback.SERVICES.get(service, service))
        takes = model.operation_model(operation).input_shape.members.keys() & {"Tags", "tags"}
        # A version in the registry has the tags of its group; AWS takes none.
        if operation == "CreateModelPackage" or not takes:
            continue
        field = takes.pop()
        for given in loopback.parameters(printed, call):
            if not tags.marks("brain-tumor", given.get(field, [])):
                found.append(call)
    return found


def test_without_dry_run_the_same_server_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        assert deploy("setup", "--yes").exit_code == 1
    assert asked


def test_a_dry_run_needs_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use(monkeypatch, loopback.environment("http://127.0.0.1:9", tmp_path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "sagemaker:CreateTrainingJob" in succeed("train", "--dry-run")


def test_what_aws_would_not_take_is_refused_in_a_dry_run_too(account: str) -> None:
    client = Aws(None, loopback.REGION, dry_run=True).client("sagemaker")
    with pytest.raises(ParamValidationError, match="Missing required parameter"):
        client.create_training_job(TrainingJobName="brain-tumor-1")


def test_what_is_printed_is_what_is_sent(
    account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    printed = succeed("setup", "--dry-run")
    succeed("setup", "--yes")
    (dry,) = loopback.parameters(printed, "s3:PutBucketPolicy")
    made = loopback.client("s3").get_bucket_policy(Bucket=loopback.BUCKET)["Policy"]
    assert json.loads(dry["Policy"].replace("ACCOUNT", loopback.ACCOUNT)) == json.loads(made)
