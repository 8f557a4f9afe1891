"""The cores and memory that this container is allowed, which may be less than the host has.

Docker and Kubernetes limit by cgroups: the kernel's documentation, "Control Group v2" (cpu.max,
memory.max), "CFS Bandwidth Control" and "Memory Resource Controller" for version 1.
"""

import ctypes
import gc
import math
import os
import resource
from contextlib import suppress
from pathlib import Path

_CGROUP, _CPUINFO = Path("/sys/fs/cgroup"), Path("/proc/cpuinfo")
_STATM = Path("/proc/self/statm")


def allowed_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores may be busy at the same time, at least 1: a quota is rounded up."""
    pinned = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores, quota = pinned or 1, _quota(cgroup)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def allowed_memory(cgroup: Path = _CGROUP) -> int:
    """Return how many bytes of memory may be used: the limit, at most what the machine has."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # "max" is no limit; version 1 writes a number near 2^63 for none.
    limit = _read(cgroup / "memory.max") or _read(cgroup / "memory" / "memory.limit_in_bytes")
    return min([machine, *(int(part) for part in limit if part.isdigit())])


def resident_memory() -> int:
    """Return how many bytes of memory this process holds (RSS)."""
    statm = _read(_STATM)
    if statm:
        return int(statm[1]) * os.sysconf("SC_PAGE_SIZE")
    # Not Linux. The peak is the nearest that is known; macOS counts it in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def release_memory() -> None:
    """Give memory that nothing uses back to the machine, so that other processes can have it."""
    gc.collect()
    # glibc keeps what is freed for later; other C libraries have no such function.
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def has_vnni(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the processor multiplies 8-bit numbers and adds up in 32 bits in one step.

    Others add two products in 16 bits first, which overflows (Intel's AVX512_VNNI and AVX_VNNI;
    OpenVINO's "Saturation (overflow) issue workaround").
    """
    return any(word.endswith("_vnni") for word in _read(cpuinfo))


def has_bfloat16(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the processor multiplies bfloat16 numbers (AVX512_BF16, AMX_BF16)."""
    return any(word.endswith("_bf16") for word in _read(cpuinfo))


def _quota(cgroup: Path) -> float | None:
    limit = _read(cgroup / "cpu.max")
    if not limit:
        folder = cgroup / "cpu"
        limit = _read(folder / "cpu.cfs_quota_us") + _read(folder / "cpu.cfs_period_us")
    if len(limit) != 2 or not all(part.isdigit() for part in limit) or int(limit[1]) == 0:
        return None  # "max", -1, or no such controller: no limit
    return int(limit[0]) / int(limit[1])


def _read(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
