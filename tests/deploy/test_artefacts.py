"""What comes home from a job is unpacked into its folder and nowhere else."""

import io
import tarfile
from pathlib import Path

import pytest

from deploy.artefacts import bring_home, unpack
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import succeed


@pytest.mark.parametrize(
    "member",
    [
        {"name": "../outside"},
        {"name": "/outside"},
        {"name": "link", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
    ],
)
def test_an_archive_that_leads_outside_of_its_folder_is_refused(
    tmp_path: Path, member: dict[str, str]
) -> None:
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo()
        for name, value in member.items():
            setattr(info, name, value)
        tar.addfile(info, io.BytesIO())
    if member["name"].startswith("/"):
        # Made relative, as tar itself does.
        unpack(archive, tmp_path / "model")
        assert (tmp_path / "model" / member["name"][1:]).is_file()
        return
    with pytest.raises(DeployError, match=r"model\.tar\.gz cannot be unpacked"):
        unpack(archive, tmp_path / "model")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    "left", [{}, {"S3ModelArtifacts": f"s3://{loopback.BUCKET}/j/model.tar.gz"}]
)
def test_a_job_that_was_stopped_before_it_trained_leaves_nothing_and_that_is_told(
    account: str, left: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    succeed("setup", "--yes")
    job = {"TrainingJobName": "brain-tumor-1", "TrainingJobStatus": "Stopped"}
    described = {**job, "ModelArtifacts": left} if left else job
    bring_home(Aws(None, loopback.REGION), described, tmp_path / "brain-tumor-1")
    assert "brain-tumor-1 left nothing to bring home: it was stopped" in capsys.readouterr().out
    assert not (tmp_path / "brain-tumor-1").exists()


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(DeployError, match=r"model\.tar\.gz cannot be unpacked"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")
