"""`transform` against moto: files go up, the request, the results come home."""

from pathlib import Path
from typing import Any

import pytest

from deploy.commands import transform
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed

JOB = "brain-tumor-transform-1"
MODEL = f"s3://{loopback.BUCKET}/jobs/brain-tumor-1/output/model.tar.gz"


@pytest.fixture
def ready(account: str) -> list[object]:
    """Give the words of a job in an account with bucket, role and image."""
    succeed("setup", "--yes")
    loopback.push_image()
    return ["transform", "--yes", "--name", JOB, "--model", MODEL]


def _job() -> dict[str, Any]:
    described: dict[str, Any] = loopback.client("sagemaker").describe_transform_job(
        TransformJobName=JOB
    )
    return described


def _keys(prefix: str) -> list[str]:
    listed = loopback.client("s3").list_objects_v2(Bucket=loopback.BUCKET, Prefix=prefix)
    return [item["Key"].removeprefix(prefix) for item in listed.get("Contents", [])]


def test_a_folder_goes_up_and_its_answers_come_home(ready: list[object], tmp_path: Path) -> None:
    for name in ("a.png", "ward/b.jpg"):
        (tmp_path / "scans" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "scans" / name).write_bytes(name.encode())
    # moto's jobs have ended when they begin.
    answer = b'{"predictions":[]}'
    for name in ("a.png.out", "ward/b.jpg.out"):
        key = f"transforms/{JOB}/output/{name}"
        loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key=key, Body=answer)
    printed = succeed(*ready, tmp_path / "scans", "--out", tmp_path / "answers")
    assert _keys(f"transforms/{JOB}/input/") == ["a.png", "ward/b.jpg"]
    assert "2 answers in" in printed
    home = tmp_path / "answers" / JOB
    assert (home / "ward" / "b.jpg.out").read_bytes() == answer
    job = _job()
    source = job["TransformInput"]
    assert source["ContentType"] == "application/x-image"
    assert source["SplitType"] == "None"
    assert source["DataSource"]["S3DataSource"]["S3Uri"].endswith(f"transforms/{JOB}/input")
    # The image's /execution-parameters decide.
    assert not job.get("MaxConcurrentTransforms")
    assert not job.get("MaxPayloadInMB")


def test_lines_of_a_file_are_records_and_stay_in_their_order(
    ready: list[object], tmp_path: Path
) -> None:
    (tmp_path / "scans.jsonl").write_text("{}\n{}\n")
    (tmp_path / "other.txt").write_text("stays here")
    succeed(
        *(*ready, tmp_path / "scans.jsonl", "--split-lines", "--no-wait"),
        *("--content-type", "application/jsonlines", "--accept", "text/csv"),
    )
    assert _keys(f"transforms/{JOB}/input/") == ["scans.jsonl"]
    job = _job()
    assert job["TransformInput"]["SplitType"] == "Line"
    assert job["TransformOutput"]["AssembleWith"] == "Line"
    assert job["TransformOutput"]["Accept"] == "text/csv"


def test_a_prefix_in_s3_is_read_where_it_lies(ready: list[object]) -> None:
    succeed(*ready, "s3://hospital/scans/", "--instance-count", 2, "--no-wait")
    job = _job()
    assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://hospital/scans/"
    assert job["TransformResources"]["InstanceCount"] == 2
    assert _keys("transforms/") == []


def test_why_a_job_failed_is_told(account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Aws(None, loopback.REGION)
    failed = {"TransformJobStatus": "Failed", "FailureReason": "AlgorithmError: See job logs"}
    monkeypatch.setattr(aws.client("sagemaker"), "describe_transform_job", lambda **_: failed)
    with pytest.raises(DeployError, match=r"See job logs .*aws logs tail /aws/sagemaker/Transform"):
        transform._wait(aws, JOB)


def test_what_is_not_there_is_named(ready: list[object], tmp_path: Path) -> None:
    assert "There is no" in deploy(*ready, tmp_path / "nothing").output
    assert "There is no file in" in deploy(*ready, tmp_path).output


def test_it_says_what_it_costs_and_a_no_starts_nothing(ready: list[object]) -> None:
    result = deploy("transform", "s3://b/", "--model", MODEL, answer="n\n")
    assert f"Model: {MODEL}, served by " in result.output
    assert "about 0.12 USD an hour" in result.output
    sagemaker = loopback.client("sagemaker")
    assert sagemaker.list_transform_jobs()["TransformJobSummaries"] == []
