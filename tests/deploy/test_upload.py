"""`upload`, with real zips against moto's S3."""

import hashlib
import shutil
from pathlib import Path

import pytest

from deploy import jobs
from deploy.commands import upload
from deploy.errors import DeployError
from deploy.session import Aws
from tests.deploy import loopback
from tests.deploy.conftest import deploy, succeed, use

BUCKET = loopback.BUCKET


def test_the_zips_arrive_byte_for_byte_each_in_its_channel(account: str, prepared: Path) -> None:
    succeed("setup", "--yes")
    succeed("upload", prepared, "--yes")
    s3 = loopback.client("s3")
    for key in ("data/train/Train.zip", "data/val/Val.zip", "data/test/Test.zip"):
        stored = s3.get_object(Bucket=BUCKET, Key=key)
        data = stored["Body"].read()
        assert data == (prepared / Path(key).name).read_bytes()
        assert stored["Metadata"] == {"sha256": hashlib.sha256(data).hexdigest()}


def test_what_is_there_is_skipped_and_what_changed_is_uploaded(
    account: str, prepared: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(prepared, tmp_path / "prepared")
    succeed("setup", "--yes")
    succeed("upload", folder, "--yes")
    # A comment at the end leaves a zip what it was, and makes another file of it.
    with (folder / "Val.zip").open("ab") as file:
        file.write(b"\0")
    printed = succeed("upload", folder, "--yes")
    assert "Train.zip is there already" in printed
    assert "Val.zip is there already" not in printed
    assert "Test.zip is there already" in printed


def test_zips_of_an_earlier_split_are_removed_when_the_new_one_has_none(
    account: str, prepared: Path, tmp_path: Path
) -> None:
    succeed("setup", "--yes")
    succeed("upload", prepared, "--yes")
    # As `prepare --test 0` makes it.
    folder = tmp_path / "prepared"
    folder.mkdir()
    for name in ("Train.zip", "Val.zip"):
        shutil.copy(prepared / name, folder)
    with (folder / "Train.zip").open("ab") as file:
        file.write(b"\0")
    s3, train = loopback.client("s3"), {"Bucket": BUCKET, "Key": "data/train/Train.zip"}
    before = s3.head_object(**train)["ETag"]
    refused = deploy("upload", folder, answer="n\n")
    assert refused.exit_code == 1
    assert "data/test/Test.zip of an earlier upload" in refused.output
    # Neither side is there without the other.
    assert s3.head_object(**train)["ETag"] == before
    assert set(jobs.find_channels(Aws(None, loopback.REGION))) == {"train", "val", "test"}
    assert "removed s3://" in succeed("upload", folder, "--yes")
    assert set(jobs.find_channels(Aws(None, loopback.REGION))) == {"train", "val"}
    # It can be had back.
    versions = s3.list_object_versions(Bucket=BUCKET, Prefix="data/test/")["Versions"]
    assert [version["Key"] for version in versions] == ["data/test/Test.zip"]


def test_an_upload_that_is_cut_off_leaves_no_training_set_beside_another_splits_test_set(
    account: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(prepared, tmp_path / "prepared")
    succeed("setup", "--yes")
    succeed("upload", folder, "--yes")
    for zipped in folder.glob("*.zip"):
        with zipped.open("ab") as file:
            file.write(b"\0")
    send = upload._send
    sent: list[str] = []

    def cut_off(aws: Aws, path: Path, key: str, digest: str) -> None:
        if sent:
            raise KeyboardInterrupt
        sent.append(path.name)
        send(aws, path, key, digest)

    with monkeypatch.context() as patch:
        patch.setattr(upload, "_send", cut_off)
        assert deploy("upload", folder, "--yes").exit_code == 1
    assert sent
    with pytest.raises(DeployError):
        jobs.find_channels(Aws(None, loopback.REGION))
    succeed("upload", folder, "--yes")
    assert set(jobs.find_channels(Aws(None, loopback.REGION))) == {"train", "val", "test"}


def test_a_file_in_several_parts_arrives_whole(account: str, tmp_path: Path) -> None:
    # Above 8 MiB boto3 sends parts.
    (tmp_path / "Train.zip").write_bytes(bytes(range(256)) * 40_000)
    succeed("setup", "--yes")
    succeed("upload", tmp_path, "--yes")
    stored = loopback.client("s3").head_object(
        Bucket=BUCKET, Key="data/train/Train.zip", ChecksumMode="ENABLED"
    )
    assert stored["ContentLength"] == 256 * 40_000
    assert stored["ETag"].endswith('-2"')


def test_a_folder_without_train_zip_is_named_with_the_remedy(tmp_path: Path) -> None:
    result = deploy("upload", tmp_path)
    assert result.exit_code == 1
    assert f"There is no Train.zip in {tmp_path}" in result.output


def test_an_upload_before_setup_says_to_run_setup(account: str, prepared: Path) -> None:
    result = deploy("upload", prepared, "--yes")
    assert result.exit_code == 1
    assert "python -m deploy setup" in result.output


def test_a_dry_run_sends_nothing(
    monkeypatch: pytest.MonkeyPatch, prepared: Path, tmp_path: Path
) -> None:
    with loopback.refusing_server() as (url, asked):
        use(monkeypatch, loopback.environment(url, tmp_path))
        printed = succeed("upload", prepared, "--dry-run")
    assert asked == []
    put = loopback.parameters(printed, "s3:PutObject")
    assert [call["Key"] for call in put] == [
        "data/val/Val.zip",
        "data/test/Test.zip",
        "data/train/Train.zip",
    ]
    assert {call["ChecksumAlgorithm"] for call in put} == {"SHA256"}
