"""`train` against moto: the request, the log, the artefacts, what goes wrong."""

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deploy import watch
from deploy.cli import main
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed, use

BUCKET = loopback.BUCKET
REPOSITORY = f"{loopback.ACCOUNT}.dkr.ecr.{loopback.REGION}.amazonaws.com/brain-tumor"
JOB = "brain-tumor-1"


@pytest.fixture
def ready(account: str, prepared: Path) -> str:
    """Give the URI of an image that was pushed to an account with bucket, role and scans."""
    succeed("setup", "--yes")
    succeed("upload", prepared, "--yes")
    return loopback.push_image()


def test_a_job_is_started_watched_and_its_artefacts_come_home(
    ready: str, answers: list[str], trained: Path, tmp_path: Path
) -> None:
    loopback.leave_artefacts(trained, tmp_path, JOB)
    loopback.log(watch.GROUP, f"{JOB}/algo-1-1700000000", "epoch=1; val_accuracy=0.5;")
    printed = succeed(
        "train", "--yes", "--name", JOB, "-s", "epochs=2", "--out", tmp_path / "jobs", *answers
    )
    assert "about 0.23 USD an hour" not in printed  # --yes asks nothing
    assert "epoch=1; val_accuracy=0.5;" in printed
    assert f"{JOB}: Completed" in printed
    # Once more, as after a failure here: there are no two jobs of a name.
    again = deploy("train", "--yes", "--name", JOB, *answers)
    assert again.exit_code == 1
    assert f"train --attach {JOB}` watches it" in again.output
    home = tmp_path / "jobs" / JOB
    assert (home / "model/1/saved_model.pb").read_bytes() == (
        trained / "model/1/saved_model.pb"
    ).read_bytes()
    assert json.loads((home / "output/evaluation.json").read_text())


def test_the_request_is_the_images_own_metrics_the_channels_and_the_choices(
    ready: str, answers: list[str]
) -> None:
    succeed(
        *("train", "--yes", "--no-wait", "--name", JOB, *answers),
        *("--instance-count", 2, "--spot", "--sharded", "-s", "epochs=2"),
        *("--input-mode", "FastFile", "--channel", f"model=s3://{BUCKET}/old/"),
    )
    job = loopback.client("sagemaker").describe_training_job(TrainingJobName=JOB)
    algorithm = job["AlgorithmSpecification"]
    assert algorithm["TrainingImage"] == ready
    assert algorithm["TrainingInputMode"] == "FastFile"
    assert algorithm["EnableSageMakerMetricsTimeSeries"]
    inputs = {
        item["ChannelName"]: item["DataSource"]["S3DataSource"] for item in job["InputDataConfig"]
    }
    assert inputs["train"]["S3Uri"] == f"s3://{BUCKET}/data/train/"
    assert inputs["train"]["S3DataDistributionType"] == "ShardedByS3Key"
    assert inputs["val"]["S3DataDistributionType"] == "FullyReplicated"
    assert set(inputs) == {"train", "val", "test", "model"}
    assert job["HyperParameters"] == {"epochs": "2"}
    assert job["ResourceConfig"]["InstanceCount"] == 2
    assert job["EnableManagedSpotTraining"]
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200}
    assert job["CheckpointConfig"]["S3Uri"] == f"s3://{BUCKET}/checkpoints/{JOB}"
    assert job["EnableNetworkIsolation"]
    assert job["RoleArn"].endswith(":role/brain-tumor-execution")


def test_a_job_goes_on_from_the_checkpoints_of_another(ready: str, answers: list[str]) -> None:
    succeed("train", "--yes", "--no-wait", "--name", "brain-tumor-2", "--resume", JOB, *answers)
    job = loopback.client("sagemaker").describe_training_job(TrainingJobName="brain-tumor-2")
    assert job["CheckpointConfig"]["S3Uri"] == f"s3://{BUCKET}/checkpoints/{JOB}"


def test_it_says_what_it_costs_and_a_no_starts_nothing(ready: str, answers: list[str]) -> None:
    result = deploy("train", *answers, answer="n\n")
    assert result.exit_code == 1
    assert "about 0.23 USD an hour, at most 0.23 USD in 1 hour " in result.output
    result = deploy("train", "--keep-alive", 30, *answers, answer="n\n")
    assert "at most 0.35 USD in 1.5 hours" in result.output
    assert "kept, and paid, for 30 minutes more" in result.output
    assert loopback.client("sagemaker").list_training_jobs()["TrainingJobSummaries"] == []


def test_the_log_of_several_machines_names_them_and_no_line_comes_twice(account: str) -> None:
    loopback.log(watch.GROUP, f"{JOB}/algo-1-17", "one", "two")
    loopback.log(watch.GROUP, f"{JOB}/algo-2-17", "three")
    log = watch.Log(Aws(None, loopback.REGION), watch.GROUP, f"{JOB}/")
    assert sorted(log.new_lines()) == ["algo-1  one", "algo-1  two", "algo-2  three"]
    assert list(log.new_lines()) == []


def test_the_end_of_a_log_is_that_of_all_machines_by_time(
    account: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # moto gives 50 streams at once, as AWS does; those that were begun last are read.
    for place in range(49):
        loopback.log("group", f"job/b{place:02}", "of a machine long gone")
    loopback.log("group", "job/c", *(f"of c {place}" for place in range(40)))
    loopback.log("group", "job/a", "of a", begun=time.time() + 1)
    loopback.log("group", "job/d", begun=time.time() + 2)
    watch.show_end(Aws(None, loopback.REGION), "group", "job/")
    told, *lines = capsys.readouterr().out.splitlines()
    assert told == "The end of the container's log (group):"
    assert lines == [*(f"  c  of c {place}" for place in range(11, 40)), "  a  of a"]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("epoch=2", "'epoch': did you mean epochs?"),
        ("epochs=0", "epochs cannot be '0': wanted at least 1"),
        ("epochs=two", "wanted a whole number"),
        ("backbone=vgg", "wanted one of lite0, small"),
        ("dropout=1", "wanted less than 1"),
    ],
)
def test_a_hyperparameter_that_the_image_would_refuse_is_refused_before_it_costs(
    account: str, answers: list[str], setting: str, told: str
) -> None:
    result = deploy("train", "--yes", "-s", setting, *answers)
    assert result.exit_code == 1
    assert told in result.output


def test_without_an_image_or_scans_the_command_that_makes_them_is_named(
    account: str, answers: list[str]
) -> None:
    assert "python -m deploy setup" in deploy("train", "--yes", *answers).output
    succeed("setup", "--yes")
    assert "python -m deploy upload prepared" in deploy("train", "--yes", *answers).output
    loopback.client("s3").put_object(Bucket=BUCKET, Key="data/train/Train.zip", Body=b"zip")
    assert "./build_and_push.sh brain-tumor" in deploy("train", "--yes", *answers).output


def test_a_job_that_there_is_not_cannot_be_watched(account: str) -> None:
    result = deploy("train", "--attach", JOB)
    assert result.exit_code == 1
    assert f"no training job {JOB} in eu-central-1: `python -m deploy status`" in result.output


def test_without_docker_it_says_how_to_ask_elsewhere(
    account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = deploy("train", "--yes", "--image", f"{REPOSITORY}:v1")
    assert result.exit_code == 1
    assert "brain-tumor metric-definitions > answer.json" in result.output


def test_spot_machines_cannot_be_kept(account: str) -> None:
    result = deploy("train", "--dry-run", "--spot", "--keep-alive", 10)
    assert result.exit_code == 1
    assert "cannot be kept" in result.output


def test_the_cause_of_a_failed_job_is_told_with_the_remedy(
    account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "AlgorithmError: exec /opt/venv/bin/train: exec format error, exit code: 1"
    failed = {
        "TrainingJobName": JOB,
        "TrainingJobStatus": "Failed",
        "FailureReason": reason,
        "SecondaryStatusTransitions": [{"Status": "Failed", "StatusMessage": "Training failed"}],
    }
    session = Aws(None, loopback.REGION)
    # moto's jobs never fail.
    client = session.client("sagemaker")
    monkeypatch.setattr(client, "describe_training_job", lambda **_: failed)
    with pytest.raises(DeployError, match=r"exec format error.*--platform linux/amd64"):
        watch.watch(session, JOB)


@pytest.mark.parametrize("status", ["Completed", "Failed"])
@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({}, "are not kept; perhaps"),
        ({"Status": "Terminated"}, "are not kept; perhaps"),
        (
            {"Status": "Terminated", "ResourceRetainedBillableTimeInSeconds": 1700},
            "were kept, and paid, for 1700 s",
        ),
        ({"Status": "Available"}, "are kept, and paid, for 1800 s"),
        ({"Status": "Reused"}, ""),
    ],
)
def test_what_became_of_machines_that_were_to_be_kept_is_told(
    account: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pool: dict[str, Any],
    told: str,
    status: str,
) -> None:
    ended = {
        "TrainingJobStatus": status,
        "ResourceConfig": {"KeepAlivePeriodInSeconds": 1800},
        "WarmPoolStatus": pool,
    }
    session = Aws(None, loopback.REGION)
    # moto knows no warm pools.
    monkeypatch.setattr(session.client("sagemaker"), "describe_training_job", lambda **_: ended)
    fails = pytest.raises(DeployError) if status == "Failed" else contextlib.nullcontext()
    with fails:
        watch.watch(session, JOB)
    printed = capsys.readouterr().out
    assert ("Its machines" in printed) is bool(told)
    assert told in printed


def test_the_sdk_sends_every_choice_and_nothing_else_and_a_dry_run_sends_nothing(
    answers: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        printed = succeed(
            *("train", "--dry-run", "--name", JOB, "-s", "epochs=2", "-s", "image-size=64"),
            *("--instance-count", 2, "--sharded", "--input-mode", "FastFile", "--no-isolation"),
            *("--keep-alive", 30, "--minutes", 90, "--image", "i", *answers),
        )
    assert asked == []
    (request,) = loopback.parameters(printed, "sagemaker:CreateTrainingJob")
    inputs = [_channel("train", "ShardedByS3Key"), _channel("val"), _channel("test")]
    assert request == {
        "TrainingJobName": JOB,
        "RoleArn": "arn:aws:iam::ACCOUNT:role/brain-tumor-execution",
        "AlgorithmSpecification": {
            "TrainingImage": "i",
            "TrainingInputMode": "FastFile",
            # The image's own; moto puts others into its description.
            "MetricDefinitions": json.loads(Path(answers[1]).read_text()),
            "EnableSageMakerMetricsTimeSeries": True,
        },
        "HyperParameters": {"epochs": "2", "image-size": "64"},
        "InputDataConfig": inputs,
        "OutputDataConfig": {"S3OutputPath": "s3://brain-tumor-ACCOUNT-eu-central-1/jobs"},
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 30,
            "KeepAlivePeriodInSeconds": 1800,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 5400},
        "EnableNetworkIsolation": False,
        "EnableManagedSpotTraining": False,
        "CheckpointConfig": {"S3Uri": f"s3://brain-tumor-ACCOUNT-eu-central-1/checkpoints/{JOB}"},
        "Tags": [{"Key": "brain-tumor-project", "Value": "brain-tumor"}],
    }


def test_without_the_sdk_the_command_that_installs_it_is_named(
    answers: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, loopback.environment("http://127.0.0.1:9", tmp_path))
    # In this process, whose environment has none.
    result = CliRunner().invoke(main, ["train", "--dry-run", "--image", "i", *answers])
    assert result.exit_code == 1
    assert "sagemaker is not installed in this environment: make one for it by `" in result.output


def _channel(name: str, distribution: str = "FullyReplicated") -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://brain-tumor-ACCOUNT-eu-central-1/data/{name}/",
        "S3DataDistributionType": distribution,
    }
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


@pytest.mark.parametrize(
    "name", ["mine", "brain-tumor", "brain-tumor-a_b", "brain-tumor-" + 52 * "a"]
)
def test_a_name_that_the_other_commands_or_sagemaker_would_not_take_is_refused(
    account: str, answers: list[str], name: str
) -> None:
    result = deploy("train", "--yes", "--image", "i", "--name", name, *answers)
    assert result.exit_code == 1
    assert f"The name {name} do" in result.output
    assert "choose another" in result.output or "give another one by --name" in result.output
