"""Which model is meant: a job's, a folder's, an archive's; and how a folder is packed."""

import functools
import tarfile
from pathlib import Path

import pytest

from deploy import sources, tags
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed, use
from tests.deploy.hosted import train


def test_the_last_job_or_a_named_one_or_a_folder_gives_the_model(
    account: str, answers: list[str], prepared: Path, trained: Path
) -> None:
    succeed("setup", "--yes")
    loopback.push_image()
    succeed("upload", prepared, "--yes")
    for job in ("brain-tumor-1", "brain-tumor-2"):
        succeed("train", "--yes", "--no-wait", "--name", job, *answers)
    aws = Aws(None, loopback.REGION)
    assert sources.find(aws, None).place.endswith("/brain-tumor-2/output/model.tar.gz")
    assert sources.find(aws, "brain-tumor-1").place.endswith("/brain-tumor-1/output/model.tar.gz")
    folder = sources.find(aws, str(trained / "model"))
    listed = functools.partial(
        loopback.client("s3").list_objects_v2, Bucket=loopback.BUCKET, Prefix="models/"
    )
    # Before a person has said yes nothing goes up.
    assert listed()["KeyCount"] == 0
    packed = sources.store(aws, folder)
    assert packed.startswith(f"s3://{loopback.BUCKET}/models/")
    # The same folder is the same archive, which lies there once.
    assert sources.store(aws, folder) == packed
    assert listed()["KeyCount"] == 1
    with pytest.raises(DeployError, match="no training job brain-tumor-3"):
        sources.find(aws, "brain-tumor-3")
    with pytest.raises(DeployError, match=r"1/saved_model.pb is not in it"):
        sources.find(aws, str(trained))


def test_the_last_job_is_one_of_train_and_of_this_project(account: str) -> None:
    aws = Aws(None, loopback.REGION)
    train("brain-tumor-best")
    # The last trial of a tuning is seldom its best.
    train("brain-tumor-search-002-9f").tuning_job_arn = "arn:aws:sagemaker:::tuning/search"
    # A pipeline's may have failed its condition.
    train("brain-tumor-train-9f-AB", more=tags.OF_PIPELINE)
    train("my-brain-tumor-1")
    train("brain-tumor-other-1", project="brain-tumor-other")
    found = sources.find(aws, None)
    assert found.place.endswith("/brain-tumor-best/output/model.tar.gz")
    assert found.image == "image"
    # By its name a trial can be chosen.
    assert sources.find(aws, "brain-tumor-search-002-9f").place.endswith("-9f/output/model.tar.gz")


@pytest.mark.parametrize("given", ["jobs/brain-tumor-1/modle", "s3//bucket/m.tar.gz", "other-1"])
def test_what_is_no_name_of_a_job_is_no_question_of_rights(
    given: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        with pytest.raises(DeployError, match=f"no training job {given} .*no folder of that name"):
            sources.find(Aws(None, loopback.REGION), given)
    assert asked == []


def test_a_job_that_was_stopped_has_a_model_or_is_refused_in_one_sentence(account: str) -> None:
    succeed("setup", "--yes")
    aws = Aws(None, loopback.REGION)
    job = train("brain-tumor-1")
    job.training_job_status = "Stopped"
    with pytest.raises(DeployError, match="brain-tumor-1 left no model"):
        sources.find(aws, "brain-tumor-1")
    key = "jobs/brain-tumor-1/output/model.tar.gz"
    loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key=key, Body=b"")
    assert sources.find(aws, "brain-tumor-1").place == f"s3://{loopback.BUCKET}/{key}"
    del job.model_artifacts
    with pytest.raises(DeployError, match="brain-tumor-1 left no model"):
        sources.find(aws, "brain-tumor-1")


def test_a_packed_model_holds_the_folder_without_its_name(trained: Path, tmp_path: Path) -> None:
    sources.pack(trained / "model", tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        entries = {entry.name: entry.mode for entry in tar}
    assert entries["1/saved_model.pb"] == 0o644
    assert entries["1"] == 0o755
    assert "class_names.json" in entries
