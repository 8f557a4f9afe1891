"""resources: what the container is allowed, not what the host has."""

import os
from pathlib import Path

import pytest

from brain_tumor import resources
from brain_tumor.resources import (
    allowed_cores,
    allowed_memory,
    has_bfloat16,
    has_vnni,
    release_memory,
    resident_memory,
)
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
    ("flags", "vnni", "bfloat16"),
    [
        ("fpu avx512f avx512_vnni avx512_bitalg", True, False),
        ("fpu avx2 avx_vnni", True, False),
        ("fpu avx512_vnni avx512_bf16", True, True),
        ("fpu amx_bf16 amx_tile", False, True),
        ("fpu avx2 avx512f avx512bw", False, False),
    ],
)
def test_fast_arithmetic_is_read_off_the_flags_of_the_processor(
    flags: str, vnni: bool, bfloat16: bool, tmp_path: Path
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbogomips\t: 1\n")
    assert (has_vnni(file), has_bfloat16(file)) == (vnni, bfloat16)


def test_where_nothing_tells_the_flags_there_is_no_fast_arithmetic(tmp_path: Path) -> None:
    assert not has_vnni(tmp_path / "cpuinfo")
    assert not has_bfloat16(tmp_path / "cpuinfo")


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_memory_limit_of_either_version_counts(file: str, tmp_path: Path) -> None:
    assert allowed_memory(write_folder(tmp_path, {file: b"1000000"})) == 1_000_000


@pytest.mark.parametrize("limit", ["max", "", "9223372036854771712"])
def test_without_a_memory_limit_the_hosts_memory_counts(limit: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, {"memory.max": limit.encode()})
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert allowed_memory(folder) == host


def test_memory_in_use_is_counted_in_bytes_also_where_there_is_no_proc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert resident_memory() > 10_000_000
    monkeypatch.setattr(resources, "_STATM", tmp_path / "none")
    assert resident_memory() > 10_000


def test_memory_that_is_released_is_resident_no_more() -> None:
    # Pieces too small to be given back by themselves.
    held = [b"x" * length for length in range(10_000, 20_000)]
    with_it = resident_memory()
    del held
    release_memory()
    assert with_it - resident_memory() > 80_000_000
