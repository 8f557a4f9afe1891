"""Checkpoints of several hosts in one folder."""

import io
import tarfile
from pathlib import Path

from local_test.emulator.checkpoints import synchronise
from local_test.emulator.files import Tree


def _tree(**files: str) -> Tree:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"checkpoints/sub/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    packed.seek(0)
    return Tree(packed)


def test_new_changed_and_deleted_files_of_each_host_come_into_the_one_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("kept", "changed", "deleted"):
        (tmp_path / "sub" / name).write_text("before")
    # The second host still has the copies that it started with, which are no news.
    first = _tree(kept="before", changed="after", new="1")
    second = _tree(kept="before", changed="before", deleted="before", other="2")
    synchronise([first, second], tmp_path)
    assert {path.name: path.read_text() for path in (tmp_path / "sub").iterdir()} == {
        "kept": "before",
        "changed": "after",
        "new": "1",
        "other": "2",
    }


def test_hosts_without_checkpoints_need_no_folder(tmp_path: Path) -> None:
    synchronise([Tree(), Tree()], tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
