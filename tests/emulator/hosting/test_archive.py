"""Model archives that hosting refuses."""

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import pytest

from local_test.emulator.errors import EmulatorError
from local_test.emulator.hosting.archive import unpack


def _archive(folder: Path, name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Path:
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, link
        tar.addfile(member, io.BytesIO())
    return path


@pytest.mark.parametrize(
    ("kind", "link"),
    [(tarfile.SYMTYPE, "weights"), (tarfile.LNKTYPE, "weights"), (tarfile.FIFOTYPE, "")],
)
def test_links_and_special_files_are_refused_as_the_platform_does(
    tmp_path: Path, kind: bytes, link: str
) -> None:
    with pytest.raises(EmulatorError, match="holds latest, which is a link or a special file"):
        unpack(_archive(tmp_path, "latest", kind, link), tmp_path / "model")


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match="cannot be unpacked"):
        unpack(_archive(tmp_path, "../outside"), tmp_path / "model")
    assert not (tmp_path / "outside").exists()


def test_what_is_no_gzipped_tar_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "model.tar", "w"):
        pass
    for content in (b"PK\3\4", (tmp_path / "model.tar").read_bytes(), b""):
        (tmp_path / "model.tar.gz").write_bytes(content)
        with pytest.raises(EmulatorError, match=r"tar -czf model\.tar\.gz -C FOLDER \."):
            unpack(tmp_path / "model.tar.gz", tmp_path / "model")


@pytest.mark.parametrize("rest", [b"", b"\xff" * 100], ids=["broken off", "no deflate"])
def test_of_an_archive_that_is_spoilt_nothing_is_left(tmp_path: Path, rest: bytes) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("first", "second"):
            member = tarfile.TarInfo(name)
            member.size = 10_000
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    deflate = zlib.compressobj(wbits=-15)
    begun = deflate.compress(packed.getvalue()[:15_000]) + deflate.flush(zlib.Z_FULL_FLUSH)
    (tmp_path / "model.tar.gz").write_bytes(gzip.compress(b"")[:10] + begun + rest)
    with pytest.raises(EmulatorError, match="cannot be unpacked"):
        unpack(tmp_path / "model.tar.gz", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match=r"There is no model archive .*nothing\.tar\.gz"):
        unpack(tmp_path / "nothing.tar.gz", tmp_path / "model")
