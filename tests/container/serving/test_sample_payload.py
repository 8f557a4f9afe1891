"""serving.sample_payload: the archive that SageMaker's Inference Recommender asks for."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from brain_tumor import images
from brain_tumor.artifact import CHECK_FILE
from brain_tumor.errors import PayloadError
from brain_tumor.serving import sample_payload
from tests.scans import jpeg, noise, png, write_folder


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive, "r:gz") as tar:
        found = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in found.items() if file}


def test_files_go_in_byte_for_byte_without_their_folders(tmp_path: Path) -> None:
    scans = {"x/1.jpg": jpeg(1), "y/2.jpg": jpeg(2)}
    folder = write_folder(tmp_path / "scans", scans)
    payload = sample_payload.of_files([folder / name for name in scans])
    assert sample_payload.write(tmp_path / "out.tar.gz", payload) == "image/jpeg"
    assert _members(tmp_path / "out.tar.gz") == {"1.jpg": jpeg(1), "2.jpg": jpeg(2)}


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.json", "application/json"),
        ("a.jsonl", "application/jsonlines"),
        ("a.NPY", "application/x-npy"),
        ("a.dcm", "application/dicom"),
        ("a.nii", "application/x-nifti"),
        ("a.nii.gz", "application/gzip"),
    ],
)
def test_other_bodies_than_images_are_told_by_their_suffix(
    name: str, content_type: str, tmp_path: Path
) -> None:
    assert sample_payload.write(tmp_path / "out.tar.gz", {name: b"body"}) == content_type


def test_an_image_is_told_by_its_bytes_whatever_its_name(tmp_path: Path) -> None:
    assert sample_payload.write(tmp_path / "out.tar.gz", {"a.jpg": png(1)}) == "image/png"


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        ({"a.jpg": jpeg(1), "b.png": png(1)}, "several types"),
        ({"a.jpg": jpeg(1)[:200]}, "a.jpg is no payload"),
        ({"a.txt": b"text"}, "a.txt is no payload"),
    ],
)
def test_what_a_load_test_could_not_send_is_refused_and_nothing_written(
    payload: dict[str, bytes], cause: str, tmp_path: Path
) -> None:
    with pytest.raises(PayloadError, match=cause):
        sample_payload.write(tmp_path / "out.tar.gz", payload)
    assert not list(tmp_path.iterdir())


def test_another_name_than_the_platform_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match=r"ends in \.tar\.gz"):
        sample_payload.write(tmp_path / "out.zip", {"a.jpg": jpeg(1)})


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"x/1.jpg": jpeg(1), "y/1.jpg": jpeg(2)})
    with pytest.raises(PayloadError, match="one name"):
        sample_payload.of_files([folder / "x/1.jpg", folder / "y/1.jpg"])


def test_a_models_check_gives_its_images_to_the_pixel(tmp_path: Path) -> None:
    scans = np.stack([noise(n, 32)[:32, :32] for n in range(3)])
    data = io.BytesIO()
    np.savez(data, images=scans, probabilities=np.zeros((3, 4), np.float32))
    write_folder(tmp_path, {CHECK_FILE: data.getvalue()})
    payload = sample_payload.of_model(tmp_path)
    assert list(payload) == ["scan-00.png", "scan-01.png", "scan-02.png"]
    np.testing.assert_array_equal([images.decode(data) for data in payload.values()], scans)


def test_a_model_without_a_check_asks_for_files(tmp_path: Path) -> None:
    with pytest.raises(PayloadError, match="name FILES to send"):
        sample_payload.of_model(tmp_path)
