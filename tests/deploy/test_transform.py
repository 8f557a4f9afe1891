"""`transform` against moto: files go up, the request, the results come home."""

import re
from pathlib import Path
from typing import Any

import pytest

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


def _sent() -> list[str]:
    """Give what lies where the job reads."""
    uri: str = _job()["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    return _keys(uri.removeprefix(f"s3://{loopback.BUCKET}/"))


def _answer(*names: str) -> None:
    """Put the answers of a job where it puts them: moto's jobs have ended when they begin."""
    for name in names:
        key = f"transforms/{JOB}/output/{name}.out"
        loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key=key, Body=name.encode())


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Give a folder of two scans, with what file managers leave there."""
    for name in ("a.png", "Meyer, Eva.jpg", ".DS_Store", "Thumbs.db", ".cache/a.png"):
        file = tmp_path / "scans" / ("ward" if "Meyer" in name else "") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return tmp_path / "scans"


def test_a_folder_goes_up_without_names_and_its_answers_come_home_with_them(
    ready: list[object], scans: Path, tmp_path: Path
) -> None:
    _answer("000000", "000001")
    printed = succeed(*ready, scans, "--out", tmp_path / "answers")
    assert "skipped 3 hidden files" in printed
    # A name in S3 is one in access logs, and may be a patient's.
    assert _sent() == ["000000", "000001"]
    assert "2 answers in" in printed
    home = tmp_path / "answers" / JOB
    assert (home / "a.png.out").read_bytes() == b"000000"
    assert (home / "ward" / "Meyer, Eva.jpg.out").read_bytes() == b"000001"
    job = _job()
    source = job["TransformInput"]
    assert source["ContentType"] == "application/x-image"
    assert source["SplitType"] == "None"
    assert f"/transforms/{JOB}/input-" in source["DataSource"]["S3DataSource"]["S3Uri"]
    # The image's /execution-parameters decide.
    assert not job.get("MaxConcurrentTransforms")
    assert not job.get("MaxPayloadInMB")


def test_one_file_that_cannot_be_answered_costs_no_answer_of_the_others(
    ready: list[object], scans: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "answers")
    assert f"transform --attach {JOB}" in succeed(*ready, scans, "--no-wait", *out)
    _answer("000001")
    job = loopback.sagemaker().transform_jobs[JOB]
    job.transform_job_status, job.failure_reason = "Failed", "AlgorithmError: See job logs"
    loopback.log(
        "/aws/sagemaker/TransformJobs", f"{JOB}/i-0abc", "000000: the image is damaged (400)"
    )
    result = deploy("transform", "--attach", JOB, *out)
    assert result.exit_code == 1
    assert "1 answers in" in result.output
    assert "no answer: a.png (000000)" in result.output
    assert "  000000: the image is damaged (400)" in result.output
    assert f"{JOB} is Failed: AlgorithmError: See job logs. What it answered" in result.output
    home = tmp_path / "answers" / JOB
    assert (home / "ward" / "Meyer, Eva.jpg.out").read_bytes() == b"000001"
    assert not (home / "a.png.out").exists()


def test_a_name_that_a_job_has_is_refused_before_a_file_of_it_changes(
    ready: list[object], scans: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "answers")
    succeed(*ready, scans, "--no-wait", *out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "Schmidt, Jan.jpg").write_bytes(b"another patient")
    home = tmp_path / "answers" / JOB
    (table,) = home.iterdir()
    held, told = _keys("transforms/"), table.read_text()
    # moto would take the job.
    result = deploy(*ready, tmp_path / "other", *out)
    assert result.exit_code == 1
    assert f"{JOB} was started already: `python -m deploy transform --attach {JOB}`" in (
        result.output
    )
    assert _keys("transforms/") == held
    assert {file: file.read_text() for file in home.iterdir()} == {table: told}
    _answer("000000")
    succeed("transform", "--attach", JOB, *out)
    assert (home / "a.png.out").is_file()
    assert not (home / "Schmidt, Jan.jpg.out").exists()


def test_what_was_uploaded_for_a_job_that_aws_refused_is_not_answered_by_the_next(
    ready: list[object], scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.sagemaker.exceptions import ValidationError

    def refuse(**_: object) -> None:
        raise ValidationError("The account-level service limit is reached")

    with monkeypatch.context() as patch:
        patch.setattr(loopback.sagemaker(), "create_transform_job", refuse)
        assert deploy(*ready, scans, "--out", tmp_path).exit_code == 1
    (scans / "a.png").unlink()
    _answer("000000")
    succeed(*ready, scans, "--out", tmp_path)
    assert _sent() == ["000000"]
    assert [file.name for file in (tmp_path / JOB).rglob("*.out")] == ["Meyer, Eva.jpg.out"]


def test_nothing_is_said_to_be_there_of_a_job_that_answered_nothing(
    ready: list[object], scans: Path, tmp_path: Path
) -> None:
    succeed(*ready, scans, "--no-wait", "--out", tmp_path)
    job = loopback.sagemaker().transform_jobs[JOB]
    job.transform_job_status, job.failure_reason = "Failed", "InternalServerError: Try again."
    result = deploy("transform", "--attach", JOB, "--out", tmp_path)
    assert "0 answers in" in result.output
    assert result.output.endswith(f"{JOB} is Failed: InternalServerError: Try again.\n")


def test_answers_that_lie_among_the_scans_are_not_taken_for_scans(
    ready: list[object], scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scans)
    _answer("000000", "000001")
    succeed(*ready, ".")
    again = f"{JOB}-again"
    succeed("transform", "--yes", "--no-wait", "--name", again, "--model", MODEL, ".")
    held = _keys(f"transforms/{again}/")
    assert [key.rpartition("/")[2] for key in held] == ["000000", "000001"]
    result = deploy("transform", "--model", MODEL, ".", "--out", ".")
    assert "give another --out" in result.output
    # Below a folder of answers there may be scans.
    succeed("transform", "--yes", "--no-wait", "--model", MODEL, "ward", "--out", ".")


def test_lines_of_a_file_are_records_and_stay_in_their_order(
    ready: list[object], tmp_path: Path
) -> None:
    (tmp_path / "scans.jsonl").write_text("{}\n{}\n")
    (tmp_path / "other.txt").write_text("stays here")
    succeed(
        *(*ready, tmp_path / "scans.jsonl", "--split-lines", "--no-wait"),
        *("--content-type", "application/jsonlines", "--accept", "text/csv"),
    )
    assert _sent() == ["000000"]
    job = _job()
    assert job["TransformInput"]["SplitType"] == "Line"
    assert job["TransformOutput"]["AssembleWith"] == "Line"
    assert job["TransformOutput"]["Accept"] == "text/csv"


def test_a_prefix_in_the_bucket_is_read_where_it_lies(ready: list[object], tmp_path: Path) -> None:
    prefix = f"s3://{loopback.BUCKET}/scans/"
    for name in ("scans/", "scans/a.jpg", "scans/ward/b.jpg"):
        loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key=name, Body=b"")
    _answer("ward/b.jpg")
    printed = succeed(*ready, prefix, "--instance-count", 2, "--out", tmp_path)
    assert re.findall("no answer: (.*)", printed) == ["a.jpg"]
    assert (tmp_path / JOB / "ward" / "b.jpg.out").is_file()
    job = _job()
    assert job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"] == prefix
    assert job["TransformResources"]["InstanceCount"] == 2
    assert _keys(f"transforms/{JOB}/") == ["output/ward/b.jpg.out"]


@pytest.mark.parametrize("answers", [("a.jpg",), ("ward/a.jpg",)])
def test_the_answers_of_a_prefix_without_a_slash_are_known_however_aws_names_them(
    ready: list[object], tmp_path: Path, answers: tuple[str, ...]
) -> None:
    for name in ("a.jpg", "b.jpg"):
        key = f"scans/ward/{name}"
        loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key=key, Body=b"")
    _answer(*answers)
    printed = succeed(*ready, f"s3://{loopback.BUCKET}/scans/ward", "--out", tmp_path)
    (missing,) = re.findall("no answer: (.*)", printed)
    assert missing == answers[0].replace("a.jpg", "b.jpg")


def test_the_answers_of_a_job_of_another_tool_are_fetched_from_its_own_bucket(
    ready: list[object], tmp_path: Path
) -> None:
    bucket = f"brain-tumor-{loopback.ACCOUNT}-archive"
    place = {"LocationConstraint": loopback.REGION}
    s3 = loopback.client("s3")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    for key in ("in/a.jpg", "out/a.jpg.out", "out-of-others/b.jpg.out"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    succeed(*ready, f"s3://{bucket}/in/", "--no-wait")
    loopback.sagemaker().transform_jobs[JOB].transform_output["S3OutputPath"] = f"s3://{bucket}/out"
    printed = succeed("transform", "--attach", JOB, "--out", tmp_path)
    assert "1 answers in" in printed
    assert "no answer" not in printed
    assert (tmp_path / JOB / "a.jpg.out").read_bytes() == b"out/a.jpg.out"


def test_what_is_not_there_is_named(ready: list[object], tmp_path: Path) -> None:
    assert "There is no" in deploy(*ready, tmp_path / "nothing").output
    (tmp_path / ".DS_Store").touch()
    assert "There is no file in" in deploy(*ready, tmp_path).output
    assert "There is no transform job" in deploy("transform", "--attach", JOB).output
    assert deploy(*ready).exit_code == 2


@pytest.mark.parametrize("name", ["brain-tumor-a_b", "brain-tumor-" + 52 * "a", "mine"])
def test_a_name_that_sagemaker_would_not_take_is_refused_before_anything_is_made(
    ready: list[object], scans: Path, name: str
) -> None:
    result = deploy(*ready, scans, "--name", name)
    assert result.exit_code == 1
    assert f"The name {name} do" in result.output
    assert loopback.client("sagemaker").list_models()["Models"] == []
    assert _keys("transforms/") == []


def test_it_says_what_it_costs_and_a_no_starts_nothing(ready: list[object]) -> None:
    result = deploy("transform", f"s3://{loopback.BUCKET}/", "--model", MODEL, answer="n\n")
    assert f"Model: {MODEL}, served by " in result.output
    assert "about 0.12 USD an hour" in result.output
    sagemaker = loopback.client("sagemaker")
    assert sagemaker.list_transform_jobs()["TransformJobSummaries"] == []
