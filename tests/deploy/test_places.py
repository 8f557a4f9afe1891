"""S3 URIs that the execution role may read, and those that AWS refuses once machines run."""

import pytest

from deploy import places
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import deploy

MODEL = f"s3://{loopback.BUCKET}/models/a/model.tar.gz"


@pytest.mark.parametrize(
    "words",
    [
        ("transform", "--model", MODEL, "s3://hospital/scans/"),
        ("endpoint", "--image", "i", "--model", "s3://hospital/model.tar.gz"),
        ("endpoint", "--image", "i", "--multi-model", "s3://hospital/models/"),
        ("pipeline", "--image", "i", "s3://hospital/scans.zip"),
        ("tune", "--image", "i", "--channel", "pretrained=s3://hospital/weights/"),
    ],
)
def test_a_bucket_that_the_role_may_not_read_is_refused_before_anything_is_made(
    account: str, answers: list[str], words: tuple[str, ...]
) -> None:
    loopback.client("s3").create_bucket(
        Bucket=loopback.BUCKET,
        CreateBucketConfiguration={"LocationConstraint": loopback.REGION},
    )
    loopback.client("s3").put_object(Bucket=loopback.BUCKET, Key="data/train/Train.zip", Body=b"1")
    given = [*words, *answers] if words[0] == "tune" else words
    result = deploy(*given, "--yes")
    assert result.exit_code == 1
    assert "s3://hospital/" in result.output
    assert "the role brain-tumor-execution may not read" in result.output
    made = loopback.client("sagemaker")
    assert made.list_models()["Models"] == []
    assert made.list_pipelines()["PipelineSummaries"] == []


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        (
            "s3://hospital/scans/",
            f"--recursive s3://hospital/scans/ s3://{loopback.BUCKET}/copies/",
        ),
        (
            "s3://hospital/m.tar.gz",
            f"aws s3 cp s3://hospital/m.tar.gz s3://{loopback.BUCKET}/copies/",
        ),
        ("s3://hospital/v1.2", "aws s3 cp --recursive s3://hospital/v1.2 s3://"),
        ("s3://hospital/A.JPG", "aws s3 cp s3://hospital/A.JPG s3://"),
        ("s3://hospital", "aws s3 cp --recursive s3://hospital s3://"),
        # Another's account may have a bucket of the project's name.
        ("s3://brain-tumor-999999999999-eu-central-1/scans/", "aws s3 cp --recursive "),
    ],
)
def test_the_command_that_copies_is_told(account: str, uri: str, command: str) -> None:
    with pytest.raises(DeployError) as told:
        places.readable(Aws(None, loopback.REGION), uri)
    assert command in str(told.value)


def test_what_is_no_s3_uri_is_refused_and_the_projects_buckets_are_not(account: str) -> None:
    aws = Aws(None, loopback.REGION)
    with pytest.raises(DeployError, match="is no S3 URI"):
        places.readable(aws, "https://hospital/scans/")
    for uri in (MODEL, f"s3://brain-tumor-{loopback.ACCOUNT}-archive/scans/"):
        assert places.readable(aws, uri) == uri
    # It does not know the account.
    assert places.readable(Aws(None, loopback.REGION, dry_run=True), MODEL) == MODEL
