"""Archives of what hosts leave."""

import io
import tarfile
from pathlib import Path

import pytest

from local_test.emulator.artifacts import ArtifactError, pack
from local_test.emulator.files import Tree


def _tree(*members: tuple[str, bytes, str]) -> Tree:
    """Make what was read out of a folder `model`: name, type and content of each member."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, kind, content in (("", tarfile.DIRTYPE, ""), *members):
            member = tarfile.TarInfo(f"model/{name}".rstrip("/"))
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            tar.addfile(member, io.BytesIO(content.encode()))
    packed.seek(0)
    return Tree(packed)


FILE, FOLDER, HARD, SOFT, FIFO = (
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.FIFOTYPE,
)


def test_folders_of_all_hosts_are_merged_without_a_leading_folder(tmp_path: Path) -> None:
    hosts = {
        "algo-1": _tree(("1", FOLDER, ""), ("1/a", FILE, "first"), ("1/b", HARD, "model/1/a")),
        "algo-2": _tree(("1", FOLDER, ""), ("1/c", FILE, "second")),
    }
    target = tmp_path / "output/model.tar.gz"
    assert pack(hosts, "/opt/ml/model", target)
    with tarfile.open(target) as tar:
        assert tar.getnames() == ["1", "1/a", "1/b", "1/c"]
        # A hard link is a file of its own there.
        assert [tar.extractfile(f"1/{name}").read() for name in "abc"] == [  # type: ignore[union-attr]
            b"first",
            b"first",
            b"second",
        ]


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (("a", FILE, "x"), ("a", FILE, "x"), "/m/a was left by algo-1 and by algo-2"),
        (("a", FOLDER, ""), ("a", FILE, "x"), "/m/a was left by algo-1 and by algo-2"),
        (("a", FILE, "x"), ("b", SOFT, "a"), "/m/b on algo-2 is a symbolic link"),
        (("a", FIFO, ""), ("b", FILE, "x"), "/m/a on algo-1 is no file"),
    ],
)
def test_what_is_no_file_or_stands_twice_is_refused_and_no_archive_is_written(
    tmp_path: Path,
    first: tuple[str, bytes, str],
    second: tuple[str, bytes, str],
    reason: str,
) -> None:
    target = tmp_path / "model.tar.gz"
    with pytest.raises(ArtifactError, match=reason):
        pack({"algo-1": _tree(first), "algo-2": _tree(second)}, "/m", target)
    assert not target.exists()


def test_hosts_that_leave_no_file_leave_no_archive(tmp_path: Path) -> None:
    target = tmp_path / "model.tar.gz"
    assert not pack({"algo-1": _tree(("1", FOLDER, "")), "algo-2": Tree()}, "/m", target)
    assert not target.exists()
