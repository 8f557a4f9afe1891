"""Which model is meant: a job's, a folder's, an archive's; and how a folder is packed."""

import tarfile
from pathlib import Path

import pytest

from deploy import models
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed


def test_the_last_job_or_a_named_one_or_a_folder_gives_the_model(
    account: str, answers: list[str], prepared: Path, trained: Path
) -> None:
    succeed("setup", "--yes")
    loopback.push_image()
    succeed("upload", prepared, "--yes")
    for job in ("brain-tumor-1", "brain-tumor-2"):
        succeed("train", "--yes", "--no-wait", "--name", job, *answers)
    aws = Aws(None, loopback.REGION)
    assert models.find(aws, None).endswith("/brain-tumor-2/output/model.tar.gz")
    assert models.find(aws, "brain-tumor-1").endswith("/brain-tumor-1/output/model.tar.gz")
    packed = models.find(aws, str(trained / "model"))
    assert packed.startswith(f"s3://{loopback.BUCKET}/models/")
    # The same folder is the same archive, which lies there once.
    assert models.find(aws, str(trained / "model")) == packed
    listed = loopback.client("s3").list_objects_v2(Bucket=loopback.BUCKET, Prefix="models/")
    assert listed["KeyCount"] == 1
    with pytest.raises(DeployError, match="no training job brain-tumor-3"):
        models.find(aws, "brain-tumor-3")
    with pytest.raises(DeployError, match=r"1/saved_model.pb is not in it"):
        models.find(aws, str(trained))


def test_a_packed_model_holds_the_folder_without_its_name(trained: Path, tmp_path: Path) -> None:
    models.pack(trained / "model", tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as tar:
        entries = {entry.name: entry.mode for entry in tar}
    assert entries["1/saved_model.pb"] == 0o644
    assert entries["1"] == 0o755
    assert "class_names.json" in entries
