"""What comes home from a job is unpacked into its folder and nowhere else."""

import io
import tarfile
from pathlib import Path

import pytest

from deploy.artefacts import unpack
from deploy.errors import DeployError


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


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(DeployError, match=r"model\.tar\.gz cannot be unpacked"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")
