"""resources: what the container is allowed, not what the host has."""

import os
from pathlib import Path

import pytest

from brain_tumor.resources import allowed_cores, has_vnni
from tests.scans import write_folder


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process run on eight cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def _cgroup(folder: Path, **files: str) -> Path:
    names = {name.replace("__", "/").replace("_dot_", "."): text for name, text in files.items()}
    return write_folder(folder, {name: text.encode() for name, text in names.items()})


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("10000 100000", 1),
        ("1600000 100000", 8),
        ("max 100000", 8),
        ("", 8),
    ],
)
def test_a_quota_of_version_2_counts_and_is_rounded_up(
    limit: str, cores: int, tmp_path: Path
) -> None:
    assert allowed_cores(_cgroup(tmp_path, cpu_dot_max=limit)) == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_a_quota_of_version_1_counts(quota: str, cores: int, tmp_path: Path) -> None:
    files = {"cpu__cpu_dot_cfs_quota_us": quota, "cpu__cpu_dot_cfs_period_us": "100000"}
    assert allowed_cores(_cgroup(tmp_path, **files)) == cores


def test_cores_that_the_process_is_not_pinned_to_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert allowed_cores(_cgroup(tmp_path, cpu_dot_max="400000 100000")) == 1


def test_without_cgroups_the_machine_counts(tmp_path: Path) -> None:
    assert allowed_cores(tmp_path) == 8


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx512f avx512_vnni avx512_bitalg", True),
        ("fpu avx2 avx_vnni", True),
        ("fpu avx2 avx512f avx512bw", False),
    ],
)
def test_vnni_is_read_off_the_flags_of_the_processor(flags: str, has: bool, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 1\n")
    assert has_vnni(file) is has


def test_where_nothing_tells_the_flags_there_is_no_vnni(tmp_path: Path) -> None:
    assert not has_vnni(tmp_path / "cpuinfo")
